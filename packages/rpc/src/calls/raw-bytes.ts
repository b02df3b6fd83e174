// Detects floods of TLS records that carry little or no HTTP/2. Each KeyUpdate of TLS 1.3 makes us derive a key, and a record can
// hold a single byte, or none. A socket reads thousands of such records at once, and HTTP/2 does not see them. So this file
// compares the bytes of the socket with the bytes that come out of TLS.

import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { connectionOf } from '../connections/connection.ts';

/**
 * A record is 22 bytes longer than its content (RFC 8446 5.2), and the smallest frame has 9 bytes. So an honest peer sends at
 * most three and a half times the bytes of its frames, even with each frame in a record of its own.
 */
export const bytesPerByte = 4;
/** Extra bytes allowed in one window: an incomplete record, padding, and as many KeyUpdates as any library sends. */
export const overheadBytes = 64 * 1024;
export const overheadWindowMs = 10_000;
const sweepMs = 200;

interface Seen {
  readonly below: Socket;
  raw: number;
  plain: number;
}

export class RawBytes {
  readonly #flood: (session: Http2Session) => void;
  readonly #sessions = new Map<Http2Session, Seen>();
  readonly #sweep: NodeJS.Timeout;
  #since = performance.now();

  /** @param flood called when a session's peer sends bytes without frames. */
  constructor(flood: (session: Http2Session) => void) {
    this.#flood = flood;
    this.#sweep = setInterval(() => this.#checkSessions(), sweepMs).unref();
  }

  watch(session: Http2Session): void {
    const connection = connectionOf(session.socket);
    if (!connection) return;
    const below = connection.socket;
    this.#sessions.set(session, { below, raw: below.bytesRead, plain: session.socket.bytesRead });
    connection.whenOver(() => this.#sessions.delete(session));
  }

  stop(): void {
    clearInterval(this.#sweep);
  }

  #checkSessions(): void {
    const now = performance.now();
    const isNewWindow = now - this.#since >= overheadWindowMs;
    if (isNewWindow) this.#since = now;
    for (const [session, seen] of this.#sessions) {
      if (session.destroyed) {
        this.#sessions.delete(session);
        continue;
      }
      const raw = seen.below.bytesRead;
      // Most sessions have been silent.
      if (raw === seen.raw) continue;
      const plain = session.socket.bytesRead;
      if (raw - seen.raw - bytesPerByte * (plain - seen.plain) > overheadBytes) {
        this.#sessions.delete(session);
        this.#flood(session);
      } else if (isNewWindow) {
        seen.raw = raw;
        seen.plain = plain;
      }
    }
  }
}
