// The key of a connection (docs/quic.md section 1.1), for peers that the bare library plays.

import { buffer } from 'node:stream/consumers';
import type { QuicClientSession, QuicServerSession, QuicStream } from '@currentspace/http3';
import { keyBytes, keyStreamId, makeKey } from '../sealed.ts';

/** The client's part. @returns the key. */
export function sendKey(session: QuicClientSession): Uint8Array {
  const key = makeKey();
  session
    .openStream()
    .on('error', () => {})
    .resume()
    .end(key);
  return key;
}

/** The server's part. Must be called when the session begins. */
export async function receiveKey(session: QuicServerSession): Promise<Uint8Array> {
  const first = await new Promise<QuicStream>((resolve) => {
    session.on('stream', (stream: QuicStream) => stream.id === keyStreamId && resolve(stream));
  });
  first.end();
  const key = await buffer(first);
  if (key.length !== keyBytes) throw new TypeError(`a key of ${key.length} bytes`);
  return key;
}
