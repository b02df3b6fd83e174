// TLS that carries no HTTP/2. Every KeyUpdate of TLS 1.3 makes us derive a key, and a record can hold a single byte, or none:
// thousands of them fit into what a socket reads at once, and HTTP/2 sees nothing of them. So the bytes of the socket are
// compared with what comes out of TLS.

import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { connectionOf } from '../connections/connection.ts';

/**
 * A record takes 22 bytes more than it carries (RFC 8446 5.2), and the smallest frame is 9 bytes long: an honest peer's bytes
 * become at most three and a half times as many, even when each frame is a record of its own.
 */
export const bytesPerByte = 4;
/** Beyond that in one window: a record that is not whole yet, padding, and KeyUpdates as often as any library sends them. */
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

  /** @param flood told of a session whose peer sends bytes and no frames. */
  constructor(flood: (session: Http2Session) => void) {
    this.#flood = flood;
    this.#sweep = setInterval(() => this.#look(), sweepMs).unref();
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

  #look(): void {
    const now = performance.now();
    const isNewWindow = now - this.#since >= overheadWindowMs;
    if (isNewWindow) this.#since = now;
    for (const [session, seen] of this.#sessions) {
      if (session.destroyed) {
        this.#sessions.delete(session);
        continue;
      }
      const raw = seen.below.bytesRead;
      // Most have been silent.
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
