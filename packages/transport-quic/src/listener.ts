// The node services over QUIC: the same routes, the same check of every connection, call and message as on HTTP/2.

import { hasCode, IdentityError, type ServerCredential } from '@palyra/identity';
import { type ChainJudge, certificatesToPem, type PeerCertificate } from '@palyra/identity/certificate';
import { type RegistryEvent, standingMessages } from '@palyra/identity/registry';
import type { ServerConnection, ServerTlsConfig, StreamLimits, StreamListener } from '@palyra/rpc/transport';
import {
  accessCheck,
  contextOf,
  countEvent,
  DeviceConnections,
  type DeviceListener,
  type DeviceTrust,
  type ListenerEvent,
  type ListenerOptions,
  type Peer,
  serveCalls,
} from '@palyra/rpc/transport';
import { createQuic } from './quiche/quic.ts';
import type { QuicheRuntime } from './quiche/runtime.ts';

export interface QuicDeviceListenerOptions extends ListenerOptions {
  /** Mutual TLS: the roots that device chains may lead to, and what decides about devices. */
  readonly devices: DeviceTrust;
  /** Default `portable`. */
  readonly runtime?: QuicheRuntime;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<StreamLimits>;
  /** Largest message, bytes. */
  readonly messageBytes: number;
}

/** How long the answer to a refused call may take to leave before its connection is closed, ms. */
const refusedGraceMs = 20;
const sweepMs = 1_000;

export class QuicDeviceListener implements DeviceListener {
  readonly #options: QuicDeviceListenerOptions;
  readonly #devices: DeviceConnections;
  readonly #peers = new WeakMap<ServerConnection, Peer>();
  readonly #sweep: NodeJS.Timeout;
  #listener: StreamListener;
  #port = 0;
  #swapping: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /** @throws UNREACHABLE when the port is taken, TypeError where QUIC cannot run safely. */
  static async listen(options: QuicDeviceListenerOptions): Promise<QuicDeviceListener> {
    const listener = new QuicDeviceListener(options);
    listener.#listener = await listener.#listen(
      options.port,
      options.credential,
      options.devices.trustBundle,
    );
    listener.#port = listener.#listener.port;
    return listener;
  }

  private constructor(options: QuicDeviceListenerOptions) {
    this.#options = options;
    this.#devices = new DeviceConnections(options.devices.authenticator, options.onInternal);
    this.#listener = notListening;
    this.#sweep = setInterval(() => this.#devices.shutExpired(options.clock.now()), sweepMs);
    this.#sweep.unref();
  }

  get port(): number {
    return this.#listener.port;
  }

  get connections(): number {
    return this.#devices.size;
  }

  apply(event: RegistryEvent): void {
    this.#devices.apply(event);
  }

  /**
   * The library cannot change a listener's certificate, so devices reconnect to a new one on the same port. One at a
   * time. Does nothing once this closes.
   */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): Promise<void> {
    const swapped = this.#swap(credential, trustBundle);
    // Whoever asked for it is told; who comes next only waits.
    this.#swapping = swapped.catch(() => {});
    return swapped;
  }

  async #swap(credential: ServerCredential, trustBundle: readonly Uint8Array[]): Promise<void> {
    if (this.#closed) return;
    await this.#listener.close(
      new IdentityError('UNREACHABLE', 'The daemon has a new certificate. Connect again.'),
    );
    // Should it fail to listen again, the next credential is the next try.
    this.#listener = notListening;
    if (this.#closed) return;
    this.#listener = await this.#listen(this.#port, credential, trustBundle);
  }

  close(until?: AbortSignal): Promise<void> {
    this.#closed ??= this.#close(until).finally(() => clearInterval(this.#sweep));
    return this.#closed;
  }

  async #close(until: AbortSignal | undefined): Promise<void> {
    // A swap that is half done may listen once more, and that listener is the one to close.
    await this.#swapping;
    await this.#listener.close(new IdentityError('UNREACHABLE', 'The daemon stops.'), until);
  }

  #listen(
    port: number,
    credential: ServerCredential,
    trustBundle: readonly Uint8Array[],
  ): Promise<StreamListener> {
    const { host, runtime, limits, unfinished, routes, ownCalls, messageBytes, onInternal } = this.#options;
    const tls: ServerTlsConfig = {
      certificateChain: certificatesToPem(credential.certificateChain),
      privateKey: credential.key.toPem(),
      clientRoots: certificatesToPem(trustBundle),
    };
    return createQuic(runtime ? { runtime } : {}).listen({
      host,
      port,
      tls,
      admit: (connection) => this.#admit(connection),
      serve: serveCalls({
        routes,
        check: accessCheck(onInternal, ownCalls),
        readMaxBytes: messageBytes,
        writeMaxBytes: messageBytes,
        contextValues: (connection) => contextOf(this.#peerOf(connection)),
        onError: onInternal,
      }),
      onError: (error) => onInternal(error, 'the QUIC listener'),
      onRefused: (reason) => this.#count(reason === 'limit' ? 'refused_limit' : reason),
      ...(limits && { limits }),
      ...(unfinished && { unfinished }),
    });
  }

  async #admit(connection: ServerConnection): Promise<void> {
    const { authenticator } = this.#options.devices;
    // BoringSSL stops at its first error, so what comes here is verified, dates included. It is judged once more by what
    // counts at this moment: a session that is resumed brings the verdict of the day it began.
    const certificate = judgeChain(authenticator.chainJudge, connection.peerChain);
    const { peer, admission, forget } = this.#devices.add({
      transport: 'quic',
      certificate,
      source: connection.remoteAddress,
      // Running calls end with the reason, then the connection does; what does not end by itself is cut.
      shut: (reason) => {
        connection.unfinished.stop(reason);
        connection.shut(reason);
      },
      refused: (reason) => setTimeout(() => this.#shut(connection, reason), refusedGraceMs).unref(),
    });
    void connection.closed.then(forget);
    this.#peers.set(connection, peer);
    try {
      const { deviceId } = await admission;
      connection.unfinished.belongsTo(deviceId);
      this.#count('accepted');
    } catch (error) {
      this.#count('refused_standing');
      throw error;
    }
  }

  /** From a timer, which has nobody who could catch what it throws. */
  #shut(connection: ServerConnection, reason: IdentityError): void {
    try {
      connection.close(reason);
    } catch (error) {
      this.#options.onInternal(error, 'closing a connection');
    }
  }

  #count(event: ListenerEvent): void {
    countEvent(this.#options, event);
  }

  #peerOf(connection: ServerConnection): Peer {
    const peer = this.#peers.get(connection);
    if (!peer) throw new TypeError('a stream of a connection that was not admitted');
    return peer;
  }
}

/** @throws CERTIFICATE_UNKNOWN */
function judgeChain(judge: ChainJudge, chain: readonly Uint8Array[]): PeerCertificate {
  try {
    return judge.judge(chain).leaf;
  } catch (cause) {
    if (!hasCode(cause, 'CERTIFICATE_INVALID')) throw cause;
    throw new IdentityError('CERTIFICATE_UNKNOWN', standingMessages.CERTIFICATE_UNKNOWN, { cause });
  }
}

const notListening: StreamListener = {
  host: '',
  port: 0,
  connectionCount: 0,
  close: async () => {},
};
