// Only uncompressed messages are accepted. Our messages are small, or hold certificates, which compress badly; and a server that
// decompresses nothing is safe from decompression bombs. The error to a caller that compresses names the accepted encoding.
// https://github.com/grpc/grpc/blob/master/doc/compression.md

import { Code, ConnectError } from '@connectrpc/connect';

/** A header on the answer to a call with an `encodingProblem`. */
export const acceptedEncoding: readonly [name: string, value: string] = ['grpc-accept-encoding', 'identity'];

/**
 * Why the daemon cannot read a gRPC call; undefined when it can.
 *
 * @param field returns a header of the call by its lower-case name.
 */
export function encodingProblem(field: (name: string) => string | undefined): ConnectError | undefined {
  const encoding = field('grpc-encoding') ?? 'identity';
  if (encoding === 'identity' || !field('content-type')?.startsWith('application/grpc')) return undefined;
  return new ConnectError(
    'Messages must not be compressed. The accepted grpc-encoding is identity.',
    Code.Unimplemented,
  );
}
