// The limits of handshakes that are under way.

import type { QuicServer, QuicServerSession } from '@currentspace/http3';
import type { StreamLimits, StreamRefusal } from '@palyra/rpc/transport';
import { sourceKey, toCloseNumber } from '@palyra/rpc/transport';

/**
 * Ends handshakes that take too long, or of which one source has too many. The library has no limit of its own but the idle
 * timeout and one for all, and tells of a session only when it is established: `guard.ts` does before.
 */
export class HandshakeWatch {
  readonly #perSource: number;
  readonly #ended: (reason: StreamRefusal) => void;
  readonly #handshakes = new Set<QuicServerSession>();
  readonly #sources = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #seen = new Set<QuicServerSession>();

  constructor(server: QuicServer, limits: StreamLimits, ended: (reason: StreamRefusal) => void) {
    this.#perSource = limits.maxHandshakesPerSource;
    this.#ended = ended;
    (server as NodeJS.EventEmitter).on('handshake', (session: QuicServerSession) => this.#begun(session));
    this.#timer = setInterval(() => this.#sweep(), limits.handshakeTimeoutMs).unref();
  }

  done(session: QuicServerSession): void {
    if (!this.#handshakes.delete(session)) return;
    this.#seen.delete(session);
    const source = sourceKey(session.remoteAddress);
    const left = (this.#sources.get(source) ?? 0) - 1;
    if (left > 0) this.#sources.set(source, left);
    else this.#sources.delete(source);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #begun(session: QuicServerSession): void {
    const source = sourceKey(session.remoteAddress);
    const count = (this.#sources.get(source) ?? 0) + 1;
    if (count > this.#perSource) {
      this.#ended('limit');
      session.close(toCloseNumber('TOO_MANY_SESSIONS'), 'Too many handshakes.');
      return;
    }
    this.#sources.set(source, count);
    this.#handshakes.add(session);
    session.once('close', () => this.done(session));
  }

  // What was there at the last sweep and still is took between one and two timeouts.
  #sweep(): void {
    for (const session of this.#seen) {
      this.#ended('handshake_timeout');
      session.close(toCloseNumber('UNREACHABLE'), 'The handshake took too long.');
      this.done(session);
    }
    this.#seen = new Set(this.#handshakes);
  }
}
