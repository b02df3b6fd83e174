// Workarounds for how Node 26 treats an HTTP/2 stream that ends early. node-http2.test.ts shows Node's behaviour on a bare server,
// and fails when Node changes.

import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from 'node:http2';

/**
 * Asks the peer, after the answer, to stop sending the request (RFC 9113 8.1). A reset in the same turn of the event loop would
 * overtake the answer, and the peer would never see the answer.
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
