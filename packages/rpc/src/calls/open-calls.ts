// Limits how many calls of a session run, and how many more wait for their turn. The limit is not announced in SETTINGS. Node
// enforces what it announces (maxConcurrentStreams), and Node 26 counts a reset stream until the next turn of the event loop. A
// client at the limit that cancels calls and begins others in one packet would get ENHANCE_YOUR_CALM, after which no client
// retries. Other gRPC servers announce no limit either. Calls over the limit wait here, as they would wait in a client that
// knows the limit. A call that finds no room to wait is refused with REFUSED_STREAM, which tells the peer that the server did
// not process the call (RFC 9113 8.7).

import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { type Link, LinkedList } from '@palyra/identity/portable';

/** More refusals in a row than this, with no call accepted in between, mark the session as a flood. */
const refusedInARow = 1_000;

export interface OpenCallLimits {
  /** Calls of one session that run at one time. */
  readonly streamsPerSession: number;
  /** Calls of one session that wait for their turn. */
  readonly waitingStreams: number;
}

export class OpenCalls {
  readonly #limits: OpenCallLimits;
  readonly #flood: (session: ServerHttp2Session) => void;
  readonly #sessions = new WeakMap<ServerHttp2Session, SessionCalls>();

  /** @param flood called when a session keeps beginning calls although there is no room. */
  constructor(limits: OpenCallLimits, flood: (session: ServerHttp2Session) => void) {
    this.#limits = limits;
    this.#flood = flood;
  }

  /** Admits a new call. @returns the call's place; undefined when there is no room and the call was reset. */
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
  /** Refusals in a row. */
  refused = 0;
  readonly limits: OpenCallLimits;
  readonly open = new LinkedList<CallPlace>();
  /** Oldest first. */
  readonly waiting = new LinkedList<CallPlace>();
  working = 0;

  constructor(limits: OpenCallLimits) {
    this.limits = limits;
  }

  take(stream: ServerHttp2Stream): CallPlace | undefined {
    const { streamsPerSession, waitingStreams } = this.limits;
    const limit = streamsPerSession + waitingStreams;
    // Node emits `close` only after it has read the whole packet that closed these calls.
    if (this.open.size >= limit) for (const each of this.open) if (each.isClosed) each.vacate();
    if (this.open.size >= limit) {
      this.refused += 1;
      return undefined;
    }
    this.refused = 0;
    return new CallPlace(this, stream);
  }
}

export class CallPlace {
  readonly #calls: SessionCalls;
  readonly #stream: ServerHttp2Stream;
  readonly #open: Link<CallPlace>;
  #waiting: Link<CallPlace> | undefined;
  #begin: (() => void) | undefined;
  #isWorking = false;

  constructor(calls: SessionCalls, stream: ServerHttp2Stream) {
    this.#calls = calls;
    this.#stream = stream;
    this.#open = calls.open.add(this);
  }

  /** For the session. */
  get isClosed(): boolean {
    return this.#stream.closed;
  }

  /** For the session: the place is free for another call, although this one has not quite ended. */
  vacate(): void {
    this.#calls.open.remove(this.#open);
  }

  /**
   * Runs the call now, or when its turn comes. A call that ends before its turn never runs.
   * @returns whether the call runs already.
   */
  work(begin: () => void): boolean {
    const calls = this.#calls;
    if (calls.working >= calls.limits.streamsPerSession) {
      this.#begin = begin;
      this.#waiting = calls.waiting.add(this);
      return false;
    }
    calls.working += 1;
    this.#isWorking = true;
    begin();
    return true;
  }

  /** The call's stream is closed. */
  end(): void {
    const calls = this.#calls;
    this.vacate();
    calls.waiting.remove(this.#waiting);
    if (!this.#isWorking) return;
    this.#isWorking = false;
    calls.working -= 1;
    const next = calls.waiting.first;
    if (next) next.#takeTurn();
  }

  #takeTurn(): void {
    this.#calls.waiting.remove(this.#waiting);
    if (this.#begin) this.work(this.#begin);
  }
}
