// Limits on handshakes in progress.

import type { QuicServer, QuicServerSession } from '@currentspace/http3';
import type { StreamLimits } from '@palyra/rpc/portable';
import { toCloseNumber } from '@palyra/rpc/portable';
import type { StreamRefusal } from '@palyra/rpc/transport';
import { sourceKey } from '@palyra/rpc/transport';

/**
 * Ends handshakes that take too long, and handshakes of a source that has too many. The library itself has only the idle timeout
 * and one limit for all handshakes. It reports a session only when the session is established; `guard.ts` reports it earlier.
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

  // A handshake that was already here at the last sweep has taken between one and two timeouts.
  #sweep(): void {
    for (const session of this.#seen) {
      this.#ended('handshake_timeout');
      session.close(toCloseNumber('UNREACHABLE'), 'The handshake took too long.');
      this.done(session);
    }
    this.#seen = new Set(this.#handshakes);
  }
}
