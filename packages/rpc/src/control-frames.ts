// Control frames of one session. Each is cheap, and each is answered, without a limit of nghttp2's own while the peer reads the
// answers. A client that measures the way to us sends a PING for DATA it gets: that costs it nothing here, as in the server
// of gRPC for Go. So what counts is what comes without an answer of ours before it.

import type { ServerHttp2Session } from 'node:http2';

export const controlWindowMs = 10_000;
/** As large as DATA frames get without the peer's consent (RFC 9113 4.2). */
const frameBytes = 16_384;

const ofSession = new WeakMap<object, ControlFrames>();

/** HEADERS and DATA of ours: each frame may be answered by a PING. */
export function answeredOn(session: object, bytes: number): void {
  ofSession.get(session)?.answered(bytes);
}

export class ControlFrames {
  readonly #limit: number;
  readonly #flood: () => void;
  #left: number;
  #since = performance.now();
  #answers = 0;

  /** @param flood told when there are more in ten seconds than `limit`. */
  constructor(session: ServerHttp2Session, limit: number, flood: () => void) {
    this.#limit = limit;
    this.#flood = flood;
    this.#left = limit;
    ofSession.set(session, this);
    session.on('ping', () => {
      if (this.#answers > 0) this.#answers -= 1;
      else this.#take();
    });
    session.on('remoteSettings', () => this.#take());
  }

  answered(bytes: number): void {
    // No more than the limit itself are saved up.
    this.#answers = Math.min(this.#answers + 1 + Math.ceil(bytes / frameBytes), this.#limit);
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
