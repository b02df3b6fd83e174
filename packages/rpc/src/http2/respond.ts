// Writes answers on an HTTP/2 stream without Connect.

import type http2 from 'node:http2';
import type { ConnectError } from '@connectrpc/connect';
import { codeToHttpStatus, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { checkHeaderFields } from '../calls/header-fields.ts';
import { grpcContentType, grpcStatusOk, type UnaryAnswer } from '../calls/unary-call.ts';

export type Header = readonly [name: string, value: string];

/** Refuses a call that Connect would serve, because Connect would read the message first. */
export function respondRefusal(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  error: ConnectError,
  more: readonly Header[],
): void {
  const type = headers['content-type'] ?? '';
  if (type.startsWith('application/grpc')) {
    const trailer = new Headers();
    setTrailerStatus(trailer, error);
    stream.respond(
      { ...Object.fromEntries([...trailer, ...more]), ':status': 200, 'content-type': type },
      { endStream: true },
    );
    return;
  }
  stream.respond({ ':status': codeToHttpStatus(error.code), 'content-type': 'application/json' });
  stream.end(errorToJsonBytes(error, {}));
}

/** Runs the function. If it throws, reports the error and resets the stream. */
export type OrReset = (work: () => void) => void;

const plainHeaders = { ':status': 200, 'content-type': grpcContentType };
const plainTrailers = { 'grpc-status': grpcStatusOk };

export function respond(
  stream: http2.ServerHttp2Stream,
  { header, message, trailer }: UnaryAnswer,
  orReset: OrReset,
): void {
  if (stream.destroyed || stream.closed) return;
  if (header) checkHeaderFields(header);
  if (trailer) checkHeaderFields(trailer);
  const headers = header ? { ...Object.fromEntries(header), ...plainHeaders } : plainHeaders;
  const trailers = trailer ? Object.fromEntries(trailer) : plainTrailers;
  if (!message) {
    stream.respond({ ...headers, ...trailers }, { endStream: true });
    return;
  }
  stream.respond(headers, { waitForTrailers: true });
  stream.on('wantTrailers', () => orReset(() => stream.sendTrailers(trailers)));
  stream.end(message);
}
