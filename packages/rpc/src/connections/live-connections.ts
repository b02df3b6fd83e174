// Owns the live connections of one listener, over TCP, TLS or a unix socket. It decides which connections get a place, and looks
// every second for those that are over or idle. A place is free as soon as its connection ends for any reason.

import type { Http2Session } from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expectSocketBelow, socketBelow, takeOver } from '../node-internals.ts';
import { Connection, type ConnectionTimes, connectionOf } from './connection.ts';
import { sourceKey } from './source-key.ts';

export interface ConnectionLimits extends ConnectionTimes {
  /** Connections at one time. Over this, the source with most strangers' connections gives up one, without a call if possible. */
  readonly connections: number;
  /** Strangers' connections of one source, an IPv4 address or an IPv6 /64. A stranger is not, or not yet, a paired device. */
  readonly strangersPerSource: number;
}

const keepAliveAfterMs = 30_000;
/** For `net.Server` and clients. The kernel notices when a peer's machine or network has disappeared. */
export const tcpKeepAlive = { keepAlive: true, keepAliveInitialDelay: keepAliveAfterMs } as const;

/** For this time a stranger's connection keeps its place against others of its source, ms. */
const newcomerMs = 1_000;
const sweepMs = 1_000;

export class LiveConnections {
  readonly #server: Server;
  readonly #limits: ConnectionLimits;
  readonly #onRefused: () => void;
  /** Connections of all sockets that are not closed. */
  readonly #all = new Set<Connection>();
  /** The connections that are over, oldest first. Each has a second for its last frames, and makes room before others. */
  readonly #over = new Set<Connection>();
  /** The strangers' connections of each source, oldest first. */
  readonly #strangers = new Map<string, Set<Connection>>();
  readonly #sweep: NodeJS.Timeout;
  #closing = false;

  /**
   * Create before the server listens, and after all other code has removed its listeners from the server.
   * @param onRefused called for each connection over a limit, whether it was new or had to make room.
   */
  constructor(server: Server, limits: ConnectionLimits, onRefused: () => void = () => {}) {
    this.#server = server;
    this.#limits = limits;
    this.#onRefused = onRefused;
    // Runs before Node's own handling of a new socket, so a refused socket costs no TLS.
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
    this.#sweep = setInterval(() => this.#checkConnections(), sweepMs).unref();
  }

  /** Number of connections that are not over. */
  get size(): number {
    return this.#all.size - this.#over.size;
  }

  /** The connection belongs to a paired device or the operator, and no longer to a stranger. */
  known(connection: Connection): void {
    this.#forgetStranger(connection);
    connection.known();
  }

  /** Stops listening and lets running calls end. Cuts the remaining connections when `until` is aborted. */
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
    // A unix socket has no address, and a TCP socket that is already closed has lost its address.
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
      this.#endToMakeRoom(oldest);
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
    this.#endToMakeRoom(victim);
    return true;
  }

  /** A connection without a call, of the source with most connections among the sources that have one. */
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

  /** Any connection of the source with most connections, when that source has more than this. */
  #oldestOfMost(moreThan: number): Connection | undefined {
    let most: ReadonlySet<Connection> | undefined;
    for (const strangers of this.#strangers.values())
      if (strangers.size > (most?.size ?? moreThan)) most = strangers;
    return most?.values().next().value;
  }

  #endToMakeRoom(connection: Connection): void {
    this.#onRefused();
    connection.cut();
    this.#forget(connection);
  }

  /** The connection's socket is closed, or about to close. */
  #forget(connection: Connection): void {
    this.#all.delete(connection);
    this.#over.delete(connection);
  }

  #forgetStranger(connection: Connection): void {
    const strangers = this.#strangers.get(connection.source);
    if (strangers?.delete(connection) && strangers.size === 0) this.#strangers.delete(connection.source);
  }

  #checkConnections(): void {
    const now = performance.now();
    for (const connection of this.#all) connection.check(now, this.#limits);
  }
}

/** The connection that has been without a call for the longest time. */
function idlest(connections: Iterable<Connection>): Connection | undefined {
  let found: Connection | undefined;
  for (const connection of connections)
    if ((!found || connection.since < found.since) && !connection.hasCall) found = connection;
  return found;
}

/** The connection of a TLS socket, even before its handshake is done. */
export function connectionBelow(socket: TLSSocket): Connection | undefined {
  const below = socketBelow(socket);
  return below && connectionOf(below);
}
