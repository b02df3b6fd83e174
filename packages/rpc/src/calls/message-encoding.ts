// Messages are taken without compression only: our messages are small, or certificates, which compress badly, and what is not
// decompressed cannot be a bomb. A caller that compresses is told what is taken instead.
// https://github.com/grpc/grpc/blob/master/doc/compression.md

import { Code, ConnectError } from '@connectrpc/connect';

/** A header of the answer to a call with an `encodingProblem`. */
export const acceptedEncoding: readonly [name: string, value: string] = ['grpc-accept-encoding', 'identity'];

/**
 * Why a gRPC call cannot be read; undefined when it can.
 *
 * @param field of the call's headers, by a name in lower case.
 */
export function encodingProblem(field: (name: string) => string | undefined): ConnectError | undefined {
  const encoding = field('grpc-encoding') ?? 'identity';
  if (encoding === 'identity' || !field('content-type')?.startsWith('application/grpc')) return undefined;
  return new ConnectError(
    'Messages are taken without compression: grpc-encoding is identity.',
    Code.Unimplemented,
  );
}
