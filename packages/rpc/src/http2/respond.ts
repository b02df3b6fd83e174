// Writes answers on an HTTP/2 stream without Connect.

import http2 from 'node:http2';
import type { ConnectError } from '@connectrpc/connect';
import { codeToHttpStatus, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { checkHeaderFields } from '../calls/header-fields.ts';
import { grpcContentType, grpcStatusOk, type UnaryAnswer } from '../calls/unary-call.ts';

export type Header = readonly [name: string, value: string];

/** Called for an answer that HTTP/2 cannot carry. The peer's call is reset. */
export type Unsendable = (error: unknown) => void;

/** Refuses a call that Connect would serve, because Connect would read the message first. */
export function respondRefusal(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  error: ConnectError,
  more: readonly Header[],
  unsendable: Unsendable,
): void {
  orReset(stream, unsendable, () => sendRefusal(stream, headers, error, more));
}

export function respond(stream: http2.ServerHttp2Stream, answer: UnaryAnswer, unsendable: Unsendable): void {
  orReset(stream, unsendable, () => send(stream, answer, unsendable));
}

function orReset(stream: http2.ServerHttp2Stream, unsendable: Unsendable, work: () => void): void {
  try {
    work();
  } catch (error) {
    unsendable(error);
    stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  }
}

function sendRefusal(
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

const plainHeaders = { ':status': 200, 'content-type': grpcContentType };
const plainTrailers = { 'grpc-status': grpcStatusOk };

function send(
  stream: http2.ServerHttp2Stream,
  { header, message, trailer }: UnaryAnswer,
  unsendable: Unsendable,
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
  stream.on('wantTrailers', () => orReset(stream, unsendable, () => stream.sendTrailers(trailers)));
  stream.end(message);
}
