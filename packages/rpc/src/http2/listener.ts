// HTTP/2 over TLS 1.3. The listener owns its sessions, so it can swap its certificate and close any session.

import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { IdentityError, type ServerCredential } from '@palyra/identity';
import { certificatesToPem, type PeerCertificate } from '@palyra/identity/certificate';
import type { PairingChannel } from '@palyra/identity/pairing';
import { type RegistryEvent, standingMessages } from '@palyra/identity/registry';
import { accessCheck } from '../access/access-check.ts';
import { deviceChainOf, judgeDeviceChain } from '../access/device-chain.ts';
import { contextOf, type Peer } from '../access/peer.ts';
import { observed } from '../calls/call-observer.ts';
import { OpenCalls } from '../calls/open-calls.ts';
import { RawBytes } from '../calls/raw-bytes.ts';
import { UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import { type Connection, connectionOf } from '../connections/connection.ts';
import { DeviceConnections } from '../connections/device-connections.ts';
import {
  countEvent,
  type DeviceListener,
  type DeviceTrust,
  type ListenerEvent,
  type ListenerOptions,
  type PeerAuthenticator,
} from '../connections/device-listener.ts';
import { connectionBelow, LiveConnections, tcpKeepAlive } from '../connections/live-connections.ts';
import { sourceKey } from '../connections/source-key.ts';
import { takeOver } from '../node-internals.ts';
import { exportChannelBinding } from './channel-binding.ts';
import { answeredOn, ControlFrames } from './control-frames.ts';
import { defaultHttp2Limits, type Http2Limits } from './limits.ts';
import { requireCertificate, showedNoCertificate } from './required-certificate.ts';
import { serveHttp2 } from './serve.ts';
import { tlsSettings } from './tls-settings.ts';

export interface Http2ListenerOptions extends ListenerOptions {
  /** Absent on the pairing listener, where peers have no certificate yet. */
  readonly devices?: DeviceTrust;
  /** Checks other daemons of the fleet. Default: their certificates are refused. */
  readonly peers?: PeerAuthenticator;
  /** Called when the channel of a peer without a certificate has ended. */
  readonly channelEnded?: (channel: PairingChannel) => void;
  /** Default: `defaultHttp2Limits`. */
  readonly limits?: Partial<Http2Limits>;
}

interface Session {
  readonly peer: Peer;
  /** Removes the session from the list of live devices. */
  readonly forget: () => void;
}

/** Time for a refused session to make the call whose answer gives the reason, ms. */
const refusedGraceMs = 5_000;
/** Time for the calls of a session that was shut out to send the reason, ms. */
const shutGraceMs = 200;
/** Delay of the refusal of a foreign certificate, so that a peer that retries for ever does so slowly, ms. */
const foreignHoldMs = 1_000;
const sweepMs = 1_000;

export class Http2Listener implements DeviceListener {
  readonly #server: http2.Http2SecureServer;
  #port = 0;
  readonly #options: Http2ListenerOptions;
  readonly #limits: Http2Limits;
  readonly #sessions = new Map<http2.Http2Session, Session>();
  /** Timers of sessions with a foreign certificate. */
  readonly #refusals = new WeakMap<http2.Http2Session, Promise<IdentityError>>();
  readonly #devices: DeviceConnections | undefined;
  readonly #live: LiveConnections;
  readonly #sweep: NodeJS.Timeout;
  readonly #unfinished: UnfinishedBytes;
  readonly #rawBytes = new RawBytes((session) => this.#flood(session));

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
    listener.#port = (listener.#server.address() as AddressInfo).port;
    return listener;
  }

  private constructor(options: Http2ListenerOptions) {
    this.#options = options;
    const limits = { ...defaultHttp2Limits, ...options.limits };
    this.#limits = limits;
    this.#unfinished = options.unfinished ?? new UnfinishedBytes();
    this.#devices =
      options.devices && new DeviceConnections(options.devices.authenticator, options.onInternal);
    this.#server = http2.createSecureServer({
      ...tcpKeepAlive,
      ...this.#tlsOptions(options.credential, options.devices?.trustBundle ?? []),
      handshakeTimeout: limits.handshakeTimeoutMs,
      ...(options.devices
        ? requireCertificate((socket) => connectionBelow(socket)?.refused())
        : { requestCert: false }),
      settings: { maxHeaderListSize: limits.headerBytes },
      maxHeaderListPairs: 64,
      maxSettings: 16,
      maxOutstandingPings: 4,
      streamResetBurst: limits.resetBurst,
      streamResetRate: limits.resetRate,
    });
    // A peer that breaks TLS or HTTP/2 ends only its own connection.
    this.#server.on('tlsClientError', (error, socket) => {
      this.#count(showedNoCertificate(error) ? 'refused_no_certificate' : 'tls_error');
      socket.destroy();
    });
    this.#server.on('sessionError', () => this.#count('protocol_error'));
    this.#server.on('unknownProtocol', (socket) => {
      this.#count('protocol_error');
      connectionOf(socket)?.cut();
    });
    this.#server.on('session', (session) => this.#accept(session));
    this.#judgeBeforeHttp2();
    this.#live = new LiveConnections(this.#server, limits, () => this.#count('refused_limit'));
    serveHttp2(this.#server, {
      routes: options.routes,
      check: observed(accessCheck(options.onInternal, options.ownCalls), options.observe),
      readMaxBytes: limits.messageBytes,
      writeMaxBytes: limits.messageBytes,
      requestMs: limits.requestMs,
      onError: options.onInternal,
      headerBytes: limits.headerBytes,
      unfinished: this.#unfinished,
      answered: answeredOn,
      openCalls: new OpenCalls(limits, (session) => this.#flood(session)),
      // A session that was refused or closed has no entry.
      contextValues: (session) => {
        const entry = this.#sessions.get(session);
        return entry && contextOf(entry.peer);
      },
      refusal: (session) => this.#refusals.get(session),
    });
    this.#sweep = setInterval(() => this.#devices?.shutExpired(options.clock.now()), sweepMs).unref();
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  /** New connections see the new certificate, and are checked against these roots; live ones stay. */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): void {
    this.#server.setSecureContext(this.#tlsOptions(credential, trustBundle));
  }

  /** Immediately shuts the sessions affected by a change of the registry. */
  apply(event: RegistryEvent): void {
    this.#devices?.apply(event);
  }

  /** Stops listening, sends GOAWAY and lets running calls end. Cuts the remaining sessions when `until` is aborted. */
  async close(until: AbortSignal = AbortSignal.timeout(2_000)): Promise<void> {
    await this.#live.close(until);
    // Expiry and revocation stay in force meanwhile.
    clearInterval(this.#sweep);
    this.#rawBytes.stop();
  }

  #count(event: ListenerEvent): void {
    countEvent(this.#options, event);
  }

  #tlsOptions(credential: ServerCredential, trustBundle: readonly Uint8Array[]) {
    return {
      ...tlsSettings,
      key: credential.key.toPem(),
      cert: certificatesToPem(credential.certificateChain),
      ...(this.#devices && { ca: certificatesToPem(trustBundle) }),
    };
  }

  #accept(session: http2.ServerHttp2Session): void {
    const socket = session.socket as TLSSocket;
    const connection = connectionOf(socket);
    if (!connection) {
      // Nothing else would end the session.
      session.destroy();
      return;
    }
    this.#rawBytes.watch(session);
    new ControlFrames(session, this.#limits.controlFrames, () => this.#flood(session));
    const accepted = this.#devices
      ? this.#acceptDevice(connection, session, socket, this.#devices)
      : this.#acceptAnyone(session, socket);
    if (!accepted) {
      this.#refuseForeign(connection, session);
      return;
    }
    this.#count('accepted');
    this.#sessions.set(session, accepted);
    connection.whenOver(() => {
      this.#sessions.delete(session);
      accepted.forget();
    });
  }

  /**
   * Judges the chain before HTTP/2 begins, because a client that has received SETTINGS counts the connection as a success and never
   * slows its retries. OpenSSL has refused peers without a certificate already. This check is a second defence.
   */
  #judgeBeforeHttp2(): void {
    const authenticator = this.#options.devices?.authenticator;
    if (!authenticator) return;
    const serve = takeOver<[TLSSocket]>(this.#server, 'secureConnection');
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      if (judgeDeviceChain(socket, authenticator.chainJudge) !== 'missing') return serve(socket);
      this.#count('refused_no_certificate');
      connectionOf(socket)?.cut();
    });
  }

  /** Refuses a foreign certificate. The registry decides about certificates of ours. */
  #acceptDevice(
    connection: Connection,
    session: http2.ServerHttp2Session,
    socket: TLSSocket,
    devices: DeviceConnections,
  ): Session | undefined {
    const certificate = deviceChainOf(socket);
    if (typeof certificate === 'string') {
      this.#count('refused_foreign_certificate');
      return undefined;
    }
    if (certificate.spiffeId.kind === 'daemon' && this.#options.peers)
      return this.#acceptPeer(connection, session, certificate, this.#options.peers);
    const unfinished = this.#unfinished.of(session);
    const { peer, admission, forget } = devices.add({
      transport: 'http2',
      certificate,
      source: plainAddress(socket.remoteAddress ?? ''),
      // Running calls end with the reason, then the session ends. Calls that do not end are cut.
      shut: (reason) => {
        unfinished.stop(reason);
        connection.endWithin(shutGraceMs);
      },
      // This one answer says why, then the session ends.
      refused: (reason) => {
        unfinished.stop(reason);
        connection.endWithin(shutGraceMs);
      },
    });
    admission.then(
      ({ deviceId }) => {
        this.#live.known(connection);
        unfinished.belongsTo(deviceId);
      },
      (reason) => {
        unfinished.stop(reason);
        this.#count('refused_standing');
        setTimeout(() => connection.end(), refusedGraceMs).unref();
      },
    );
    return { peer, forget };
  }

  /** Another daemon of the fleet. Its first call decides whether the session stays. */
  #acceptPeer(
    connection: Connection,
    session: http2.ServerHttp2Session,
    { fingerprint }: PeerCertificate,
    peers: PeerAuthenticator,
  ): Session {
    const unfinished = this.#unfinished.of(session);
    let isAdmitted = false;
    const check = async () => {
      try {
        const { id } = await peers.authenticateDaemon(fingerprint);
        if (isAdmitted) return;
        isAdmitted = true;
        this.#live.known(connection);
        unfinished.belongsTo(id);
      } catch (error) {
        if (error instanceof IdentityError && error.family !== 'store') {
          this.#count('refused_standing');
          unfinished.stop(error);
          connection.endWithin(shutGraceMs);
        }
        throw error;
      }
    };
    const admitted = () => (isAdmitted ? undefined : check());
    return { peer: { caller: 'peer', admitted, check }, forget: () => {} };
  }

  /** Answers the session's calls with the reason, then sends the reason in the debug data of GOAWAY. */
  #refuseForeign(connection: Connection, session: http2.ServerHttp2Session): void {
    const reason = new IdentityError('CERTIFICATE_UNKNOWN', standingMessages.CERTIFICATE_UNKNOWN);
    const refusal = Promise.withResolvers<IdentityError>();
    this.#refusals.set(session, refusal.promise);
    const end = () => {
      if (connection.isOver) return;
      if (!session.destroyed) {
        const { NGHTTP2_INADEQUATE_SECURITY } = http2.constants;
        session.goaway(NGHTTP2_INADEQUATE_SECURITY, undefined, Buffer.from(reason.message));
      }
      connection.end();
    };
    setTimeout(() => {
      refusal.resolve(reason);
      setTimeout(end, shutGraceMs).unref();
    }, foreignHoldMs).unref();
  }

  #acceptAnyone(session: http2.ServerHttp2Session, socket: TLSSocket): Session {
    const source = plainAddress(socket.remoteAddress ?? '');
    const channel = { channelBinding: exportChannelBinding(socket), source };
    this.#unfinished.of(session).belongsTo(sourceKey(source));
    return { peer: { caller: 'anyone', channel }, forget: () => this.#options.channelEnded?.(channel) };
  }

  #flood(session: http2.Http2Session): void {
    if (session.destroyed) return;
    this.#count('flood');
    session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    connectionOf(session.socket)?.end();
  }
}

/** Strips the IPv4-mapped IPv6 prefix that a listener on every interface sees. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=[0-9]+\.)/i, '');
