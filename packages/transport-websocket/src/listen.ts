// The daemon's side: an HTTP server that serves only channels.

import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  agreeAsDaemon,
  type ChannelPurpose,
  type DaemonChannel,
  DaemonConnection,
  type FloodLimits,
  Inbox,
  type JudgePeer,
  type OwnProof,
  webSocketCode,
  webSocketReason,
} from '@palyra/channel';
import { hasCode, IdentityError } from '@palyra/identity';
import { ChainJudge } from '@palyra/identity/certificate';
import {
  type ByteStream,
  resolveStreamLimits,
  type StreamLimits,
  UnfinishedBytes,
} from '@palyra/rpc/portable';
import {
  type Connection,
  connectionOf,
  drained,
  LiveConnections,
  type ServerTlsConfig,
  type StreamListener,
  type StreamListenOptions,
  startAdmission,
  tcpKeepAlive,
} from '@palyra/rpc/transport';
import { WebSocketServer } from 'ws';
import { derOf, judgeDevice, ownProof } from './certificates.ts';
import { nodeCrypto } from './node-crypto.ts';
import { Places } from './places.ts';
import { refuse, type Upgrade, UpgradeCheck, type UpgradeRules } from './upgrade.ts';
import { WsSocket, webSocketOptions } from './ws-socket.ts';

export interface WebSocketListenOptions extends StreamListenOptions, UpgradeRules {
  /**
   * Serves one stream of an admitted connection until the stream ends. Must not throw.
   * @param begins reports a stranger's call. A stranger that waits for an answer is not idle. A stranger with an incomplete call is.
   */
  serve(stream: ByteStream, connection: DaemonChannel, begins?: Connection['begins']): void | Promise<void>;
  /** Admits or refuses a connection before its first stream is served. */
  admit(connection: DaemonChannel): Promise<void>;
  /** Limits the bytes of incomplete messages on channels for `pair`. Default: they share the limit of the other channels. */
  readonly strangersUnfinished?: UnfinishedBytes;
  /** How long a channel for `pair` may have no complete call, ms. Default: the time for a handshake. */
  readonly strangerIdleMs?: number;
  /** Default: `docs/limits.md`, "Channel". */
  readonly floods?: Partial<FloodLimits>;
}

export interface WebSocketListener extends StreamListener {
  /** Uses this certificate and these roots for new channels. Live channels stay open. @throws CERTIFICATE_INVALID */
  swap(tls: ServerTlsConfig): void;
}

export const defaultFloodLimits: FloodLimits = {
  idleMessages: 1_000,
  resetBurst: 200,
  resetRate: 20,
};

const maxHeaderBytes = 8_192;
/** Most open streams of a channel for `pair`. */
const maxStrangerStreams = 8;
const sweepMs = 1_000;

/** @throws UNREACHABLE if the address is in use or does not belong to this machine; CERTIFICATE_INVALID */
export async function listen(options: WebSocketListenOptions): Promise<WebSocketListener> {
  const listener = new ChannelListener(options);
  await listener.start();
  return listener;
}

class ChannelListener implements WebSocketListener {
  readonly #options: WebSocketListenOptions;
  readonly #limits: StreamLimits;
  readonly #floods: FloodLimits;
  readonly #server: http.Server;
  readonly #sockets: LiveConnections;
  readonly #webSockets = new WebSocketServer({
    ...webSocketOptions,
    noServer: true,
    clientTracking: false,
    handleProtocols: (_, request) => this.#upgrades.get(request)!.subprotocol,
  });
  readonly #check: UpgradeCheck;
  readonly #unfinished: UnfinishedBytes;
  readonly #strangersUnfinished: UnfinishedBytes;
  readonly #upgrades = new WeakMap<http.IncomingMessage, Upgrade>();
  readonly #handshakes: Places;
  readonly #handshaking = new Set<WsSocket>();
  /** Places of open channels. Strangers have separate places, so that they take none from devices. */
  readonly #places: Readonly<Record<ChannelPurpose, Places>>;
  readonly #connections = new Map<DaemonConnection, (error: IdentityError) => void>();
  readonly #sweep: NodeJS.Timeout;
  /** A promise for each open WebSocket that resolves when the socket closes. */
  readonly #farewells = new Set<Promise<void>>();
  #proof!: OwnProof;
  #judge!: JudgePeer;
  #draining: IdentityError | undefined;
  #isClosed = false;
  #at!: AddressInfo;

  constructor(options: WebSocketListenOptions) {
    this.#options = options;
    const limits = resolveStreamLimits(options.limits);
    this.#limits = limits;
    this.#floods = { ...defaultFloodLimits, ...options.floods };
    const { maxConnections, maxHandshakes, maxHandshakesPerSource } = limits;
    this.#handshakes = new Places(maxHandshakes, maxHandshakesPerSource);
    this.#places = {
      node: new Places(maxConnections),
      pair: new Places(maxConnections, maxHandshakesPerSource),
    };
    this.#check = new UpgradeCheck(options);
    this.#unfinished = options.unfinished ?? new UnfinishedBytes();
    this.#strangersUnfinished = options.strangersUnfinished ?? this.#unfinished;
    this.swap(options.tls);
    this.#server = http.createServer({
      ...tcpKeepAlive,
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: limits.handshakeTimeoutMs,
      requestTimeout: limits.handshakeTimeoutMs,
      keepAliveTimeout: 1,
      connectionsCheckingInterval: sweepMs,
    });
    this.#server.on('request', (request, response) => {
      const status = this.#check.isPath(request.url) ? 426 : 404;
      response
        .writeHead(status, { connection: 'close', ...(status === 426 && { upgrade: 'websocket' }) })
        .end();
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#sockets = new LiveConnections(
      this.#server,
      {
        connections: maxConnections + maxHandshakes,
        // Behind a proxy, all sockets have its address. The upgrade check then tells sources apart by X-Forwarded-For.
        strangersPerSource: options.proxies?.length ? maxHandshakes : maxHandshakesPerSource,
        // Begins before the handshake, and covers the admission after it too.
        strangerIdleMs: limits.handshakeTimeoutMs + (options.strangerIdleMs ?? limits.handshakeTimeoutMs),
        idleTimeoutMs: 2 * limits.idleTimeoutMs,
      },
      () => options.onRefused?.('limit'),
    );
    this.#sweep = setInterval(
      () => this.#checkConnections(),
      Math.min(sweepMs, limits.idleTimeoutMs),
    ).unref();
  }

  /** Available after the listener has closed too, because the next listener may reuse it. */
  get host(): string {
    return this.#at.address;
  }

  get port(): number {
    return this.#at.port;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async start(): Promise<void> {
    const { host, port } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen({ host, port, exclusive: true }, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
    } catch (cause) {
      clearInterval(this.#sweep);
      await this.#sockets.close(AbortSignal.abort()).catch(() => {});
      throw new IdentityError('UNREACHABLE', `No channel can listen on ${host} port ${port}.`, { cause });
    }
    this.#at = this.#server.address() as AddressInfo;
    this.#server.on('error', (error) => this.#options.onError?.(error));
  }

  swap(tls: ServerTlsConfig): void {
    const judge = judgeDevice(new ChainJudge(derOf(tls.clientRoots)));
    this.#proof = ownProof(tls);
    this.#judge = judge;
  }

  async close(error?: IdentityError, until?: AbortSignal): Promise<void> {
    if (until) {
      this.#draining = error ?? new IdentityError('UNREACHABLE', 'The connection was closed.');
      for (const drain of this.#connections.values()) drain(this.#draining);
      await drained(this.#connections.keys(), until);
    }
    this.#isClosed = true;
    for (const connection of this.#connections.keys()) connection.close(error);
    for (const socket of this.#handshaking) socket.terminate();
    clearInterval(this.#sweep);
    // Each socket closes when its device has read the reason, or after a short time.
    await Promise.all(this.#farewells);
    await this.#sockets.close(AbortSignal.abort());
  }

  #checkConnections(): void {
    const now = performance.now();
    for (const connection of this.#connections.keys()) connection.check(now);
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    const upgrade = this.#check.of(request, head);
    if ('status' in upgrade) {
      refuse(socket, upgrade);
      return;
    }
    const over = this.#isClosed ? undefined : this.#handshakes.take(upgrade.source);
    if (!over) {
      this.#options.onRefused?.('limit');
      refuse(socket, { status: 503, why: 'Too many handshakes. Try again later.' });
      return;
    }
    socket.once('close', over);
    this.#upgrades.set(request, upgrade);
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const live = connectionOf(request.socket);
      const gone = new Promise<void>((resolve) => webSocket.once('close', () => resolve()));
      this.#farewells.add(gone);
      void gone.then(() => this.#farewells.delete(gone));
      void this.#accept(new WsSocket(webSocket), upgrade, request.socket.remotePort ?? 0, live).finally(over);
    });
  }

  async #accept(
    socket: WsSocket,
    upgrade: Upgrade,
    remotePort: number,
    live: Connection | undefined,
  ): Promise<void> {
    const { maxStreams, maxUnreadBytes, idleTimeoutMs, handshakeTimeoutMs } = this.#limits;
    const timer = setTimeout(() => {
      this.#options.onRefused?.('handshake_timeout');
      socket.terminate();
    }, handshakeTimeoutMs);
    this.#handshaking.add(socket);
    const inbox = new Inbox(socket);
    try {
      const { agreed, chain, refusal } = await agreeAsDaemon(socket, inbox, {
        purpose: upgrade.purpose,
        proof: this.#proof,
        judge: this.#judge,
        maxStreams: upgrade.purpose === 'pair' ? maxStrangerStreams : maxStreams,
        crypto: nodeCrypto,
      });
      const connection = new DaemonConnection({
        socket,
        inbox,
        agreed,
        purpose: upgrade.purpose,
        origin: upgrade.origin,
        peerChain: chain,
        unfinished: (upgrade.purpose === 'pair' ? this.#strangersUnfinished : this.#unfinished).of(socket),
        maxStreams: upgrade.purpose === 'pair' ? maxStrangerStreams : maxStreams,
        maxUnreadBytes,
        idleTimeoutMs,
        floods: this.#floods,
        remoteAddress: upgrade.address,
        remotePort,
      });
      const leave = refusal ? undefined : this.#places[upgrade.purpose].take(upgrade.source);
      if (refusal) connection.close(refusal);
      else if (!leave) {
        this.#options.onRefused?.('limit');
        connection.close(
          new IdentityError(
            'TOO_MANY_SESSIONS',
            'The daemon has reached its limit of connections. Try again later.',
          ),
        );
      } else {
        void connection.closed.then(leave);
        this.#serve(connection, live);
      }
    } catch (error) {
      // Expected: a peer that left, or broke the protocol. Any other error is a bug.
      const known = hasCode(error, 'MESSAGE_INVALID') ? error : undefined;
      if (known) socket.close(webSocketCode(known), webSocketReason(known));
      else socket.terminate();
      if (!known && error instanceof Error && error.name !== 'SocketClosed') this.#options.onError?.(error);
    } finally {
      clearTimeout(timer);
      this.#handshaking.delete(socket);
    }
  }

  #serve(connection: DaemonConnection, live: Connection | undefined): void {
    const { purpose } = connection;
    const begins: Connection['begins'] | undefined =
      purpose === 'pair' && live ? (isAtWork) => live.begins(isAtWork) : undefined;
    const admission = startAdmission(
      connection,
      {
        admit: async () => {
          await this.#options.admit(connection);
          if (purpose === 'node' && live) this.#sockets.known(live);
        },
        serve: (stream) => this.#options.serve(stream, connection, begins),
      },
      this.#limits.handshakeTimeoutMs,
    );
    this.#connections.set(connection, (error) => admission.drain(error));
    void connection.closed.then(() => this.#connections.delete(connection));
    connection.serve(
      (stream) => admission.offer(stream),
      (error) => admission.shut(error),
    );
    if (this.#draining) admission.drain(this.#draining);
  }
}
