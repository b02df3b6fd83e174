// The live connections of one listener, over TCP, TLS or a unix socket: their only owner. It decides who gets a place, and
// looks every second for those that are over or idle. A place is free as soon as its connection ends, however that ends.

import type { Http2Session } from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expectSocketBelow, socketBelow, takeOver } from '../node-internals.ts';
import { Connection, type ConnectionTimes, connectionOf } from './connection.ts';
import { sourceKey } from './source-key.ts';

export interface ConnectionLimits extends ConnectionTimes {
  /** Connections at one time. Over it, a stranger's of the source that has most makes room, one without a call first. */
  readonly connections: number;
  /** Strangers' connections of one source, an IPv4 address or an IPv6 /64: no paired device's, or not yet. */
  readonly strangersPerSource: number;
}

const keepAliveAfterMs = 30_000;
/** For `net.Server` and clients: the kernel notices when a peer's machine or network has gone without a word. */
export const tcpKeepAlive = { keepAlive: true, keepAliveInitialDelay: keepAliveAfterMs } as const;

/** A stranger's connection keeps its place for this long against others of its own source, ms. */
const newcomerMs = 1_000;
const sweepMs = 1_000;

export class LiveConnections {
  readonly #server: Server;
  readonly #limits: ConnectionLimits;
  readonly #onRefused: () => void;
  /** Every socket that is not closed. */
  readonly #all = new Set<Connection>();
  /** Of these, those that are over, the oldest first: each has a second for its last frames, and makes room before others. */
  readonly #over = new Set<Connection>();
  /** Of each source, the oldest first. */
  readonly #strangers = new Map<string, Set<Connection>>();
  readonly #sweep: NodeJS.Timeout;
  #closing = false;

  /**
   * To be made before the server listens, and once nobody takes listeners off it any more.
   * @param onRefused told of each connection that was over a limit, whether it was new or had to make room.
   */
  constructor(server: Server, limits: ConnectionLimits, onRefused: () => void = () => {}) {
    this.#server = server;
    this.#limits = limits;
    this.#onRefused = onRefused;
    // In front of what Node makes of a new socket: one that is refused costs no TLS.
    const serve = takeOver<[Socket]>(server, 'connection');
    server.on('connection', (socket: Socket) => {
      if (this.#take(socket)) serve(socket);
      else socket.destroy();
    });
    expectSocketBelow();
    server.prependListener('secureConnection', (socket: TLSSocket) =>
      connectionBelow(socket)?.secured(socket),
    );
    server.prependListener('session', (session: Http2Session) =>
      connectionOf(session.socket)?.carries(session),
    );
    this.#sweep = setInterval(() => this.#look(), sweepMs).unref();
  }

  /** Those that are not over. */
  get size(): number {
    return this.#all.size - this.#over.size;
  }

  /** A paired device's, or the operator's: no stranger any more. */
  known(connection: Connection): void {
    this.#forgetStranger(connection);
    connection.known();
  }

  /** Stops listening, lets running calls end, and cuts what is left when `until` says so. */
  async close(until: AbortSignal): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const cut = () => {
      for (const connection of this.#all) connection.cut();
    };
    for (const connection of this.#all) connection.finish();
    until.addEventListener('abort', cut);
    if (until.aborted) cut();
    await closed;
    until.removeEventListener('abort', cut);
    clearInterval(this.#sweep);
  }

  #take(socket: Socket): boolean {
    // A unix socket has no address, and one of TCP that is over already has lost it.
    const source = sourceKey(socket.remoteAddress ?? '');
    if (this.#closing) return false;
    if (!this.#makeRoom(source)) {
      this.#onRefused();
      return false;
    }
    const connection = new Connection(socket, source);
    this.#all.add(connection);
    this.#strangers.set(source, (this.#strangers.get(source) ?? new Set()).add(connection));
    connection.whenOver(() => {
      this.#over.add(connection);
      this.#forgetStranger(connection);
    });
    socket.once('close', () => this.#forget(connection));
    return true;
  }

  #makeRoom(source: string): boolean {
    const { connections, strangersPerSource } = this.#limits;
    const own = this.#strangers.get(source);
    if (own && own.size >= strangersPerSource) {
      const oldest = idlest(own);
      if (!oldest || performance.now() - oldest.since < newcomerMs) return false;
      this.#endForAnother(oldest);
    }
    if (this.#all.size < connections) return true;
    const [over] = this.#over;
    if (over) {
      over.cut();
      this.#forget(over);
      return true;
    }
    const victim = this.#idlestOfMost() ?? this.#oldestOfMost((own?.size ?? 0) + 1);
    if (!victim) return false;
    this.#endForAnother(victim);
    return true;
  }

  /** Without a call, of the source that has most of those that have any. */
  #idlestOfMost(): Connection | undefined {
    let victim: Connection | undefined;
    let most = 0;
    for (const strangers of this.#strangers.values()) {
      if (strangers.size < most) continue;
      const oldest = idlest(strangers);
      if (!oldest || (strangers.size === most && victim && victim.since <= oldest.since)) continue;
      victim = oldest;
      most = strangers.size;
    }
    return victim;
  }

  /** Whatever it does, of the source that has most, when that is more than this. */
  #oldestOfMost(moreThan: number): Connection | undefined {
    let most: ReadonlySet<Connection> | undefined;
    for (const strangers of this.#strangers.values())
      if (strangers.size > (most?.size ?? moreThan)) most = strangers;
    return most?.values().next().value;
  }

  #endForAnother(connection: Connection): void {
    this.#onRefused();
    connection.cut();
    this.#forget(connection);
  }

  /** Its socket is closed, or about to be. */
  #forget(connection: Connection): void {
    this.#all.delete(connection);
    this.#over.delete(connection);
  }

  #forgetStranger(connection: Connection): void {
    const strangers = this.#strangers.get(connection.source);
    if (strangers?.delete(connection) && strangers.size === 0) this.#strangers.delete(connection.source);
  }

  #look(): void {
    const now = performance.now();
    for (const connection of this.#all) connection.look(now, this.#limits);
  }
}

/** The one without a call for the longest. */
function idlest(connections: Iterable<Connection>): Connection | undefined {
  let found: Connection | undefined;
  for (const connection of connections)
    if ((!found || connection.since < found.since) && !connection.hasCall) found = connection;
  return found;
}

/** The connection that a TLS socket is on, also before its handshake is done. */
export function connectionBelow(socket: TLSSocket): Connection | undefined {
  const below = socketBelow(socket);
  return below && connectionOf(below);
}
