// HTTP/2 over TLS 1.3. The listener owns its sessions, so it can swap its certificate and close whom it must.

import { hash } from 'node:crypto';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ConnectRouter } from '@connectrpc/connect';
import {
  type Clock,
  certificatesToPem,
  type PairingChannel,
  type RegistryEvent,
  type ServerCredential,
} from '@palyra/identity';
import { accessCheck } from './access-check.ts';
import { type DeviceAuthenticator, DeviceConnections } from './device-connections.ts';
import { contextOf, type Peer } from './peer.ts';
import { serveHttp2 } from './serve-http2.ts';
import { StrangerLimit } from './stranger-limit.ts';

export interface Http2Limits {
  /** Connections at one time. */
  readonly connections: number;
  /** Of these, from one source (an IPv4 address or an IPv6 /64) and not, or not yet, a paired device's. */
  readonly strangersPerSource: number;
  /** Time for the TLS handshake, ms. */
  readonly handshakeTimeoutMs: number;
  /** A session without traffic for this long is closed, ms. */
  readonly idleTimeoutMs: number;
  /** Calls at one time on one session. */
  readonly streamsPerSession: number;
  /** Calls that one session may abandon at once, and then in a second. */
  readonly resetBurst: number;
  readonly resetRate: number;
  /** PING and SETTINGS that one session may send in ten seconds. */
  readonly controlFrames: number;
  /** Headers of one call, bytes. */
  readonly headerBytes: number;
  /** One message, bytes. */
  readonly messageBytes: number;
}

export const defaultHttp2Limits: Http2Limits = {
  connections: 10_000,
  strangersPerSource: 128,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 10 * 60_000,
  streamsPerSession: 32,
  resetBurst: 200,
  resetRate: 20,
  controlFrames: 1_000,
  headerBytes: 16 * 1024,
  messageBytes: 1024 * 1024,
};

/** What a listener counts. */
export type ListenerEvent =
  | 'accepted'
  /** Over a limit of connections. */
  | 'refused_limit'
  | 'refused_no_certificate'
  | 'refused_foreign_certificate'
  /** One of ours that no longer holds. */
  | 'refused_standing'
  | 'tls_error'
  | 'protocol_error'
  /** A session that sent more control frames than it may. */
  | 'flood';

export interface Http2ListenerOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly credential: ServerCredential;
  /** Mutual TLS: roots that clients' chains may lead to, and who decides about them. Absent on the pairing listener. */
  readonly devices?: {
    readonly trustBundle: readonly Uint8Array[];
    readonly authenticator: DeviceAuthenticator;
  };
  readonly routes: (router: ConnectRouter) => void;
  /** The channel of a peer without a certificate has ended. */
  readonly channelEnded?: (channel: PairingChannel) => void;
  readonly limits?: Partial<Http2Limits>;
  /** By the wall clock, so that one that jumps is noticed. */
  readonly clock: Clock;
  readonly onEvent?: (event: ListenerEvent) => void;
  /** Bugs and failing stores; the peer is told nothing but the code. */
  readonly onInternal: (error: unknown, method: string) => void;
}

interface Session {
  readonly peer: Peer;
  /** Takes it off the list of live devices. */
  readonly forget: () => void;
}

/** Bytes of a session when it was last looked at, and since when there are no more. */
interface Traffic {
  bytes: number;
  since: number;
}

/** Errors of chain verification that leave the answer to the registry: the certificate may well be one of ours. */
const timeErrors = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);
/** How long a refused session may take to make the call that tells it why, ms. */
const refusedGraceMs = 5_000;
/** How long calls of a session that was shut out may take to say why, ms. */
const shutGraceMs = 200;
/** How long a peer with a foreign certificate waits for its refusal, so that one that tries for ever does so slowly, ms. */
const foreignHoldMs = 1_000;
const sweepMs = 1_000;
const controlWindowMs = 10_000;

export class Http2Listener {
  readonly #server: http2.Http2SecureServer;
  readonly #options: Http2ListenerOptions;
  readonly #limits: Http2Limits;
  readonly #sessions = new Map<http2.Http2Session, Session>();
  readonly #devices: DeviceConnections | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #strangers: StrangerLimit;
  readonly #traffic = new WeakMap<http2.Http2Session, Traffic>();
  readonly #sweeps: NodeJS.Timeout[];
  #closing = false;

  /** Resolves once it listens. @throws the system's error, for example EADDRINUSE. */
  static async listen(options: Http2ListenerOptions): Promise<Http2Listener> {
    const listener = new Http2Listener(options);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', reject);
      listener.#server.listen(options.port, options.host, () => {
        listener.#server.off('error', reject);
        resolve();
      });
    });
    return listener;
  }

  private constructor(options: Http2ListenerOptions) {
    this.#options = options;
    const limits = { ...defaultHttp2Limits, ...options.limits };
    this.#limits = limits;
    this.#strangers = new StrangerLimit(limits.strangersPerSource);
    this.#devices =
      options.devices && new DeviceConnections(options.devices.authenticator, options.onInternal);
    this.#server = http2.createSecureServer({
      ...this.#tlsOptions(options.credential, options.devices?.trustBundle ?? []),
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
      handshakeTimeout: limits.handshakeTimeoutMs,
      // The verdict over a client's chain is ours, so that an expired certificate of ours gets a typed answer.
      requestCert: options.devices !== undefined,
      rejectUnauthorized: false,
      settings: { maxConcurrentStreams: limits.streamsPerSession, maxHeaderListSize: limits.headerBytes },
      maxHeaderListPairs: 64,
      maxSettings: 16,
      maxOutstandingPings: 4,
      streamResetBurst: limits.resetBurst,
      streamResetRate: limits.resetRate,
    });
    this.#server.maxConnections = limits.connections;
    this.#server.on('connection', (socket: Socket) => {
      const { remoteAddress, remotePort } = socket;
      if (!this.#strangers.add(socket)) {
        this.#count('refused_limit');
        socket.destroy();
        return;
      }
      this.#sockets.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#strangers.remove(remoteAddress, remotePort);
      });
    });
    // A peer that breaks TLS or HTTP/2 ends its own connection and nothing else.
    this.#server.on('tlsClientError', (_error, socket) => {
      this.#count('tls_error');
      socket.destroy();
    });
    this.#server.on('sessionError', (_error, session) => {
      this.#count('protocol_error');
      session.destroy();
    });
    this.#server.on('unknownProtocol', (socket) => {
      this.#count('protocol_error');
      socket.destroy();
    });
    this.#server.on('drop', () => this.#count('refused_limit'));
    this.#server.on('session', (session) => this.#accept(session));
    this.#refuseWithoutCertificate();
    serveHttp2(this.#server, {
      routes: options.routes,
      check: accessCheck(options.onInternal),
      readMaxBytes: limits.messageBytes,
      writeMaxBytes: limits.messageBytes,
      onError: options.onInternal,
      // A session that was refused or closed has no entry.
      contextValues: (session) => {
        const entry = this.#sessions.get(session);
        return entry && contextOf(entry.peer);
      },
    });
    this.#sweeps = [
      setInterval(() => this.#devices?.shutExpired(options.clock.now()), sweepMs),
      setInterval(() => this.#endIdle(), limits.idleTimeoutMs / 10),
    ];
    for (const sweep of this.#sweeps) sweep.unref();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Live sessions. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** New connections see the new certificate, and are checked against these roots; live ones stay. */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): void {
    this.#server.setSecureContext({ ...this.#tlsOptions(credential, trustBundle), minVersion: 'TLSv1.3' });
  }

  /** Shuts at once the sessions that a change of the registry concerns. */
  apply(event: RegistryEvent): void {
    this.#devices?.apply(event);
  }

  /** Stops listening, tells every peer (GOAWAY), lets running calls end, and cuts what is left when `until` says so. */
  async close(until: AbortSignal = AbortSignal.timeout(2_000)): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // Certificates end and devices are revoked meanwhile as ever.
    void closed.then(() => this.#sweeps.forEach(clearInterval));
    for (const socket of this.#handshaking()) socket.destroy();
    for (const session of this.#sessions.keys()) session.close();
    const cut = () => {
      for (const session of this.#sessions.keys()) session.destroy();
      for (const socket of this.#sockets) socket.destroy();
    };
    until.addEventListener('abort', cut);
    if (until.aborted) cut();
    await closed;
    until.removeEventListener('abort', cut);
  }

  /** Nothing is under way on these, and a peer that is silent would hold up the end. */
  #handshaking(): Socket[] {
    // A session that has ended has no socket any more.
    const place = (socket?: Pick<Socket, 'remoteAddress' | 'remotePort'>) =>
      `${socket?.remoteAddress} ${socket?.remotePort}`;
    const done = new Set([...this.#sessions.keys()].map((session) => place(session.socket)));
    return [...this.#sockets].filter((socket) => !done.has(place(socket)));
  }

  #count(event: ListenerEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      // Whoever counts decides nothing: what was refused is still closed.
      this.#options.onInternal(error, 'counting connections');
    }
  }

  #tlsOptions(credential: ServerCredential, trustBundle: readonly Uint8Array[]) {
    return {
      key: credential.key.toPem(),
      cert: certificatesToPem(credential.certificateChain),
      ...(this.#devices && { ca: certificatesToPem(trustBundle) }),
    };
  }

  #accept(session: http2.ServerHttp2Session): void {
    const socket = session.socket as TLSSocket;
    const accepted = this.#devices
      ? this.#acceptDevice(session, socket, this.#devices)
      : acceptAnyone(socket, this.#options.channelEnded);
    if (!accepted) {
      setTimeout(() => {
        if (session.destroyed) return;
        // Which tells the peer that its certificate is what ended this.
        session.goaway(http2.constants.NGHTTP2_INADEQUATE_SECURITY);
        session.destroy();
      }, foreignHoldMs).unref();
      return;
    }
    this.#count('accepted');
    this.#sessions.set(session, accepted);
    session.once('close', () => {
      this.#sessions.delete(session);
      accepted.forget();
    });
    if (this.#closing) session.close();
    this.#limitControlFrames(session);
  }

  /** Node's own timeout of a session is set anew by every frame, which costs a call a tenth of what it takes in all. */
  #endIdle(): void {
    const now = performance.now();
    for (const session of this.#sessions.keys()) {
      if (session.destroyed) continue;
      const { bytesRead, bytesWritten } = session.socket;
      const bytes = bytesRead + bytesWritten;
      const before = this.#traffic.get(session);
      if (before?.bytes !== bytes) this.#traffic.set(session, { bytes, since: now });
      else if (now - before.since >= this.#limits.idleTimeoutMs) session.close();
    }
  }

  /** Before HTTP/2 begins: a client that has had SETTINGS takes the connection for a good one, and never slows down. */
  #refuseWithoutCertificate(): void {
    if (!this.#devices) return;
    const [serve] = this.#server.listeners('secureConnection');
    this.#server.removeAllListeners('secureConnection');
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      if (socket.getPeerX509Certificate()) return serve?.call(this.#server, socket);
      this.#count('refused_no_certificate');
      socket.destroy();
    });
  }

  /** A foreign certificate ends here. One of ours goes on to the registry, whatever it will say. */
  #acceptDevice(
    session: http2.ServerHttp2Session,
    socket: TLSSocket,
    devices: DeviceConnections,
  ): Session | undefined {
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) return undefined;
    if (!socket.authorized && !timeErrors.has(String(socket.authorizationError))) {
      this.#count('refused_foreign_certificate');
      return undefined;
    }
    const { peer, admission, forget } = devices.add({
      transport: 'http2',
      certificate: { fingerprint: hash('sha256', certificate.raw), notAfter: certificate.validToDate },
      source: plainAddress(socket.remoteAddress ?? ''),
      // Running calls end with the reason, then the session does; what does not end by itself is cut.
      shut: () => closeWithin(session, shutGraceMs),
      // This one answer says why, then the session ends.
      refused: () => session.close(),
    });
    const { remoteAddress, remotePort } = socket;
    admission.then(
      () => this.#strangers.remove(remoteAddress, remotePort),
      () => {
        this.#count('refused_standing');
        setTimeout(() => session.destroy(), refusedGraceMs).unref();
      },
    );
    return { peer, forget };
  }

  /** Each is cheap and each is answered, without a limit of nghttp2's own while the peer reads the answers. */
  #limitControlFrames(session: http2.ServerHttp2Session): void {
    let left = this.#limits.controlFrames;
    let since = performance.now();
    const take = () => {
      const now = performance.now();
      if (now - since > controlWindowMs) {
        since = now;
        left = this.#limits.controlFrames;
      }
      left -= 1;
      if (left >= 0 || session.destroyed) return;
      this.#count('flood');
      session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
      session.destroy();
    };
    session.on('ping', take);
    session.on('remoteSettings', take);
  }
}

function acceptAnyone(socket: TLSSocket, ended: Http2ListenerOptions['channelEnded']): Session {
  const channel = {
    channelBinding: exportChannelBinding(socket),
    source: plainAddress(socket.remoteAddress ?? ''),
  };
  return { peer: { caller: 'anyone', channel }, forget: () => ended?.(channel) };
}

/** An IPv4 peer of a listener on every interface, without its IPv6 dress. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=[0-9]+\.)/i, '');

function closeWithin(session: http2.ServerHttp2Session, ms: number): void {
  // First: should the polite way fail, this one is left.
  setTimeout(() => session.destroy(), ms).unref();
  session.close();
}

/** RFC 9266: 32 bytes bound to this very TLS channel, equal on both its ends and nowhere else. */
export function exportChannelBinding(socket: TLSSocket): Uint8Array {
  return new Uint8Array(socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)));
}
