// One live connection, tracked by its socket instead of its HTTP/2 session. A session may never learn that its peer has gone (Node
// 24 keeps the session of a connection that was reset). Node also closes a session only after the peer has read the remaining
// bytes, so a session whose peer stops reading would stay for ever, even when it was destroyed. A destroyed socket is over,
// whatever the peer does.

import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

export interface ConnectionTimes {
  /** Time for a TLS handshake, ms. Absent without TLS. */
  readonly handshakeTimeoutMs?: number;
  /**
   * Idle time of a stranger's connection, before the first call and after each call, ms. Also the time for a stranger's call to
   * arrive completely, and for its answer to be read.
   */
  readonly strangerIdleMs: number;
  /** A known peer's connection ends after this time without a byte, ms. Its calls continue while the peer is alive. */
  readonly idleTimeoutMs: number;
}

/** Time for the last frames of a connection to leave before its socket is destroyed, ms. */
const lastFramesMs = 1_000;

/** A property of the socket, because sessions hide their socket but expose its properties. */
const owner = Symbol('connection');
type Owned = { [owner]?: Connection };

/** The connection of a socket or of the session on it. Undefined when its owner has released it. */
export const connectionOf = (socket: object): Connection | undefined => (socket as Owned)[owner];

export class Connection {
  readonly socket: Socket;
  /** The source that the limits count, see `sourceKey`; empty on a unix socket. */
  readonly source: string;
  #secure: TLSSocket | undefined;
  #session: Http2Session | undefined;
  /** A stranger's calls: whether the daemon works on each, and when the call began or the daemon last worked on it. */
  readonly #calls = new Map<() => boolean, number>();
  #isStranger = true;
  #since = performance.now();
  #bytesRead = 0;
  #wasAsked = false;
  #cutAt: number | undefined;
  readonly #whenOver: (() => void)[] = [];

  constructor(socket: Socket, source: string) {
    this.socket = socket;
    this.source = source;
    (socket as Owned)[owner] = this;
    socket.once('close', () => this.cut());
  }

  get isStranger(): boolean {
    return this.#isStranger;
  }

  /** Time of the last activity, by performance.now(). */
  get since(): number {
    return this.#since;
  }

  /** Whether a complete call waits for the daemon's answer. Only known for strangers. */
  get hasCall(): boolean {
    for (const isAtWork of this.#calls.keys()) if (isAtWork()) return true;
    return false;
  }

  /** The TLS handshake is done. */
  secured(socket: TLSSocket): void {
    this.#secure = socket;
    (socket as Owned)[owner] = this;
    this.#since = performance.now();
  }

  /** HTTP/2 begins. */
  carries(session: Http2Session): void {
    this.#session = session;
    if (this.#isStranger) session.on('stream', this.#hear);
    // After any error, the connection must end.
    session.on('error', () => this.end());
  }

  readonly #hear = (stream: ServerHttp2Stream): void => {
    const ended = this.begins(() => stream.readableEnded && !stream.writableEnded);
    stream.once('close', () => ended(stream.readableEnded));
  };

  /**
   * A stranger's call begins.
   * @param isAtWork whether the call is complete and the daemon has not answered yet.
   * @returns a function to run when the call is over. Its argument says whether the call was complete; others do not count.
   */
  begins(isAtWork: () => boolean): (cameWhole: boolean) => void {
    this.#calls.set(isAtWork, performance.now());
    return (cameWhole) => {
      if (this.#calls.delete(isAtWork) && cameWhole) this.#since = performance.now();
    };
  }

  /** The peer is a paired device or the operator, and no longer a stranger. */
  known(): void {
    this.#isStranger = false;
    this.#session?.off('stream', this.#hear);
    this.#calls.clear();
  }

  /** Whether the connection has ended. Its last frames may still be on their way. */
  get isOver(): boolean {
    return this.#cutAt !== undefined;
  }

  /** Runs the callback once, when the connection ends, or at once if it has ended. */
  whenOver(done: () => void): void {
    if (this.isOver) done();
    else this.#whenOver.push(done);
  }

  /** Lets running calls end. `end` or `cut` stops a peer that delays this. */
  finish(): void {
    if (this.#session) this.#session.close();
    else this.cut();
  }

  /** Lets running calls end, but at most for this time. */
  endWithin(ms: number): void {
    // Set first, so that the connection ends even if the graceful close fails.
    setTimeout(() => this.end(), ms).unref();
    this.finish();
  }

  /** Ends the connection and its calls, after a short time for the last frames. */
  end(): void {
    this.#session?.destroy();
    if (this.#session && !this.socket.destroyed) this.#over(performance.now() + lastFramesMs);
    else this.cut();
  }

  /** TLS refused the peer. Leaves the peer a short time to read the alert. */
  refused(): void {
    this.socket.end();
    this.#over(performance.now() + lastFramesMs);
  }

  /** Ends the connection immediately. */
  cut(): void {
    this.#session?.destroy();
    this.#secure?.destroy();
    this.socket.destroy();
    this.#over(0);
  }

  #over(cutAt: number): void {
    const isNew = !this.isOver;
    this.#cutAt = Math.min(cutAt, this.#cutAt ?? cutAt);
    if (isNew) for (const done of this.#whenOver.splice(0)) done();
  }

  /** Must run regularly. Ends a dead or idle connection, and cuts one that is overdue. */
  check(now: number, times: ConnectionTimes): void {
    if (this.#cutAt !== undefined) {
      if (now >= this.#cutAt) this.cut();
    } else if (this.#session?.destroyed || this.#secure?.destroyed || this.socket.destroyed) this.end();
    else if (this.#isStranger) this.#checkStranger(now, times);
    else this.#checkKnown(now, times);
  }

  #checkStranger(
    now: number,
    { strangerIdleMs, handshakeTimeoutMs = strangerIdleMs }: ConnectionTimes,
  ): void {
    let oldest = now;
    for (const [isAtWork, since] of this.#calls) {
      if (isAtWork()) {
        this.#since = now;
        this.#calls.set(isAtWork, now);
      } else oldest = Math.min(oldest, since);
    }
    // An incomplete call or an unread answer holds resources that others may need, whatever else arrives meanwhile.
    if (now - oldest >= strangerIdleMs) this.end();
    else if (now - this.#since >= (this.#secure ? strangerIdleMs : handshakeTimeoutMs)) this.end();
  }

  /** Measured by bytes, because Node resets its own session timeout at every frame, which makes up a tenth of a call's cost. */
  #checkKnown(now: number, { idleTimeoutMs }: ConnectionTimes): void {
    // The session lets running calls end, and the kernel reports when their peer has gone.
    if (this.#session?.closed) return;
    const { bytesRead } = this.#secure ?? this.socket;
    if (bytesRead !== this.#bytesRead) {
      this.#bytesRead = bytesRead;
      this.#since = now;
      this.#wasAsked = false;
    } else if (now - this.#since >= idleTimeoutMs * (this.#wasAsked ? 2 : 1)) {
      if (this.#wasAsked || !this.#session) this.end();
      else this.#askWhetherItLives(this.#session);
    }
  }

  /** Must run before `close`, after which Node sends no PING. Without an answer the connection and its calls are dead. */
  #askWhetherItLives(session: Http2Session): void {
    this.#wasAsked = true;
    session.ping((error) => {
      if (!error) session.close();
    });
  }
}
