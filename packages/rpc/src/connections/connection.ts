// One live connection, held by its socket and not by what Node builds on it. An HTTP/2 session may never learn that its peer
// has gone (Node 24 keeps the session of a connection that was reset), and Node closes a session only after the peer has
// read what is left: a session whose peer stops reading would stay for ever, also a destroyed one. A socket that is destroyed
// is over, whatever the peer does.

import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

export interface ConnectionTimes {
  /** A TLS handshake takes no longer, ms. Absent where there is none. */
  readonly handshakeTimeoutMs?: number;
  /**
   * A stranger's connection without a call ends after this, before the first call and after each; so does one with a call
   * that does not come whole, or whose answer is not taken, ms.
   */
  readonly strangerIdleMs: number;
  /** A known peer's connection that brings no byte ends after this; its calls go on for as long as the peer lives, ms. */
  readonly idleTimeoutMs: number;
}

/** How long the last frames of a connection may take to leave before its socket is destroyed, ms. */
const lastFramesMs = 1_000;

/** Sessions hide their socket, and show its properties. */
const owner = Symbol('connection');
type Owned = { [owner]?: Connection };

/** The connection that a socket, or the session on it, belongs to. Undefined when its owner has let go of it. */
export const connectionOf = (socket: object): Connection | undefined => (socket as Owned)[owner];

export class Connection {
  readonly socket: Socket;
  /** Who has it, for limits; empty on a unix socket. */
  readonly source: string;
  #secure: TLSSocket | undefined;
  #session: Http2Session | undefined;
  /** A stranger's calls: each tells whether the daemon is at work on it, and when it began or the daemon last was. */
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

  /** When it last did something, by performance.now(). */
  get since(): number {
    return this.#since;
  }

  /** A call that the peer has sent whole and the daemon has not answered yet. Only known of strangers. */
  get hasCall(): boolean {
    for (const isAtWork of this.#calls.keys()) if (isAtWork()) return true;
    return false;
  }

  /** TLS is up. */
  secured(socket: TLSSocket): void {
    this.#secure = socket;
    (socket as Owned)[owner] = this;
    this.#since = performance.now();
  }

  /** HTTP/2 begins. */
  carries(session: Http2Session): void {
    this.#session = session;
    if (this.#isStranger) session.on('stream', this.#hear);
    // Whatever broke it, what is left is to end it.
    session.on('error', () => this.end());
  }

  readonly #hear = (stream: ServerHttp2Stream): void => {
    const ended = this.begins(() => stream.readableEnded && !stream.writableEnded);
    stream.once('close', () => ended(stream.readableEnded));
  };

  /**
   * A stranger's call begins.
   * @param isAtWork whether it has come whole, and the daemon has not answered yet.
   * @returns to be called when it is over, with whether it came whole: half a call is none.
   */
  begins(isAtWork: () => boolean): (cameWhole: boolean) => void {
    this.#calls.set(isAtWork, performance.now());
    return (cameWhole) => {
      if (this.#calls.delete(isAtWork) && cameWhole) this.#since = performance.now();
    };
  }

  /** The peer is a paired device, or the operator: it is no stranger any more. */
  known(): void {
    this.#isStranger = false;
    this.#session?.off('stream', this.#hear);
    this.#calls.clear();
  }

  /** Whether it has ended; its last frames may still be on their way. */
  get isOver(): boolean {
    return this.#cutAt !== undefined;
  }

  /** Done once, when it ends; at once when it has. */
  whenOver(done: () => void): void {
    if (this.isOver) done();
    else this.#whenOver.push(done);
  }

  /** Lets running calls end; a peer that holds that up is cut by `end` or `cut`. */
  finish(): void {
    if (this.#session) this.#session.close();
    else this.cut();
  }

  /** The same, for no longer than this. */
  endWithin(ms: number): void {
    // First: should the polite way fail, this one is left.
    setTimeout(() => this.end(), ms).unref();
    this.finish();
  }

  /** Ends it and its calls. Its last frames get a moment to leave. */
  end(): void {
    this.#session?.destroy();
    if (this.#session && !this.socket.destroyed) this.#over(performance.now() + lastFramesMs);
    else this.cut();
  }

  /** TLS refused the peer. Its alert gets a moment to be read. */
  refused(): void {
    this.socket.end();
    this.#over(performance.now() + lastFramesMs);
  }

  /** Without the moment. */
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

  /** To be called now and then: ends it when it is dead or idle, and cuts it when it should have gone by itself. */
  look(now: number, times: ConnectionTimes): void {
    if (this.#cutAt !== undefined) {
      if (now >= this.#cutAt) this.cut();
    } else if (this.#session?.destroyed || this.#secure?.destroyed || this.socket.destroyed) this.end();
    else if (this.#isStranger) this.#lookAtStranger(now, times);
    else this.#lookAtKnown(now, times);
  }

  #lookAtStranger(
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
    // Half a call, and an answer that is not taken, hold what others may need, whatever else comes meanwhile.
    if (now - oldest >= strangerIdleMs) this.end();
    else if (now - this.#since >= (this.#secure ? strangerIdleMs : handshakeTimeoutMs)) this.end();
  }

  /** By its bytes: Node's own timeout of a session is set anew by every frame, which costs a call a tenth of what it takes. */
  #lookAtKnown(now: number, { idleTimeoutMs }: ConnectionTimes): void {
    // It lets calls end that were under way when it was idle, and the kernel tells when their peer has gone.
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

  /** Before `close`, after which Node sends no PING any more. Without an answer it is dead, and its calls with it. */
  #askWhetherItLives(session: Http2Session): void {
    this.#wasAsked = true;
    session.ping((error) => {
      if (!error) session.close();
    });
  }
}
