// Control frames of one session. Each is cheap and each is answered, and nghttp2 has no limit of its own while the peer reads
// the answers. A client that measures its bandwidth sends a PING for a DATA frame that it gets, and gRPC clients do so by
// default. Such PINGs are free here, as in grpc-go's server: only a PING that no HEADERS or DATA of ours can have caused counts.

import type { ServerHttp2Session } from 'node:http2';

export const controlWindowMs = 10_000;
/** Smaller DATA frames than these are a peer's own doing: it grants so few bytes at a time. */
const frameBytes = 1_024;

const ofSession = new WeakMap<object, ControlFrames>();

/** HEADERS and DATA of ours, about to be sent: the peer may send a PING for each frame. */
export function answeredOn(session: object, bytes: number): void {
  ofSession.get(session)?.answered(bytes);
}

export class ControlFrames {
  readonly #limit: number;
  readonly #flood: () => void;
  #left: number;
  #since = performance.now();
  #free = 0;

  /** @param flood told when there are more in ten seconds than `limit`. */
  constructor(session: ServerHttp2Session, limit: number, flood: () => void) {
    this.#limit = limit;
    this.#flood = flood;
    this.#left = limit;
    ofSession.set(session, this);
    session.on('ping', () => {
      if (this.#free > 0) this.#free -= 1;
      else this.#take();
    });
    session.on('remoteSettings', () => this.#take());
  }

  answered(bytes: number): void {
    // A peer saves up no more of them than it may send without.
    this.#free = Math.min(this.#free + 1 + Math.ceil(bytes / frameBytes), this.#limit);
  }

  #take(): void {
    const now = performance.now();
    if (now - this.#since > controlWindowMs) {
      this.#since = now;
      this.#left = this.#limit;
    }
    this.#left -= 1;
    if (this.#left < 0) this.#flood();
  }
}
