// How many calls of a session are at work, and how many more wait for their turn. SETTINGS cannot tell the peer: Node enforces
// what it announces (maxConcurrentStreams), and Node 26 counts a stream that was reset until the next turn of the event loop.
// A client at the limit that cancels calls and begins others in one packet would get ENHANCE_YOUR_CALM, which no client
// tries again. So no limit is announced, as by other gRPC servers. Calls over it wait here, as they would in a client that
// knows it; one that finds no room to wait is refused with REFUSED_STREAM, by which the peer knows that nothing was done for
// the call (RFC 9113 8.7).

import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';

/** Refusals in a row, with no call taken in between, that are no client's any more. */
const refusedInARow = 1_000;

export interface OpenCallLimits {
  /** Calls of one session that are worked on at one time. */
  readonly streamsPerSession: number;
  /** Calls of one session that wait for their turn. */
  readonly waitingStreams: number;
}

export class OpenCalls {
  readonly #limits: OpenCallLimits;
  readonly #flood: (session: ServerHttp2Session) => void;
  readonly #sessions = new WeakMap<ServerHttp2Session, SessionCalls>();

  /** @param flood told of a session that begins call after call without room for any. */
  constructor(limits: OpenCallLimits, flood: (session: ServerHttp2Session) => void) {
    this.#limits = limits;
    this.#flood = flood;
  }

  /** A call begins. @returns its place; undefined when there is none, and the call is reset. */
  take(session: ServerHttp2Session, stream: ServerHttp2Stream): CallPlace | undefined {
    let calls = this.#sessions.get(session);
    if (!calls) {
      calls = new SessionCalls(this.#limits);
      this.#sessions.set(session, calls);
    }
    const place = calls.take(stream);
    if (place) return place;
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    if (calls.refused > refusedInARow) this.#flood(session);
    return undefined;
  }
}

class SessionCalls {
  /** In a row. */
  refused = 0;
  readonly #limits: OpenCallLimits;
  readonly #open = new Set<ServerHttp2Stream>();
  readonly #working = new Set<ServerHttp2Stream>();
  /** The oldest first. */
  readonly #waiting = new Map<ServerHttp2Stream, () => void>();

  constructor(limits: OpenCallLimits) {
    this.#limits = limits;
  }

  take(stream: ServerHttp2Stream): CallPlace | undefined {
    const { streamsPerSession, waitingStreams } = this.#limits;
    const limit = streamsPerSession + waitingStreams;
    // `close` comes only after the packet that closed them.
    if (this.#open.size >= limit) for (const each of this.#open) if (each.closed) this.#open.delete(each);
    if (this.#open.size >= limit) {
      this.refused += 1;
      return undefined;
    }
    this.refused = 0;
    this.#open.add(stream);
    stream.once('close', () => this.#ended(stream));
    return { work: (begin) => this.#work(stream, begin) };
  }

  #work(stream: ServerHttp2Stream, begin: () => void): boolean {
    if (this.#working.size >= this.#limits.streamsPerSession) {
      this.#waiting.set(stream, begin);
      return false;
    }
    this.#working.add(stream);
    begin();
    return true;
  }

  #ended(stream: ServerHttp2Stream): void {
    this.#open.delete(stream);
    this.#waiting.delete(stream);
    if (!this.#working.delete(stream)) return;
    const [next] = this.#waiting;
    if (!next) return;
    this.#waiting.delete(next[0]);
    this.#work(...next);
  }
}

export interface CallPlace {
  /**
   * Begins the work on the call, at once or when it is its turn; never when the call has ended before.
   * @returns whether it has begun.
   */
  work(begin: () => void): boolean;
}
