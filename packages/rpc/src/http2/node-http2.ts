// What Node 26 does with an HTTP/2 stream that ends early, and how we live with it. node-http2.test.ts shows both on a bare
// server, and fails when Node changes.

import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from 'node:http2';

/**
 * Asks for no more of the request, behind the answer (RFC 9113 8.1). A reset from the same turn of the event loop would
 * overtake an answer that the peer would then never see.
 */
export function closeAfterAnswer(stream: ServerHttp2Stream): void {
  setImmediate(() => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}

/**
 * Resolves when there is room for more of an answer, or its caller has gone. When a stream ends while a write waits, neither
 * `drain` nor `error` comes, only `close`. Connect's own adapter waits for the first two, and so for ever.
 */
export function roomOrEnd(response: ServerResponse | Http2ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done).off('error', done);
      resolve();
    };
    response.on('drain', done).on('close', done).on('error', done);
  });
}
