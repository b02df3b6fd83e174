// Limits the control frames of one session. A control frame is cheap to send and needs an answer, and nghttp2 sets no limit while
// the peer reads the answers. gRPC clients by default measure their bandwidth with a PING for a DATA frame that they receive.
// Such PINGs are free here, as in grpc-go's server. Only PINGs that no HEADERS or DATA of ours can have caused are counted.

import type { ServerHttp2Session } from 'node:http2';

export const controlWindowMs = 10_000;
/** Assumed size of a DATA frame of ours. Frames are smaller only when the peer grants few bytes at a time. */
const frameBytes = 1_024;

const ofSession = new WeakMap<object, ControlFrames>();

/** Counts HEADERS and DATA that we are about to send. The peer may send a PING for each frame. */
export function answeredOn(session: object, bytes: number): void {
  ofSession.get(session)?.answered(bytes);
}

export class ControlFrames {
  readonly #limit: number;
  readonly #flood: () => void;
  #left: number;
  #since = performance.now();
  #free = 0;

  /** @param flood called when a session sends more than `limit` control frames in ten seconds. */
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
    // A peer cannot save up more free PINGs than the limit.
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
