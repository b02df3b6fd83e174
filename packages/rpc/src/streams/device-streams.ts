// Devices on a stream transport. The registry judges and admits each connection, and each call is checked, as over HTTP/2.

import { hasCode, IdentityError } from '@palyra/identity';
import type { ChainJudge, PeerCertificate } from '@palyra/identity/certificate';
import { type RegistryEvent, standingMessages } from '@palyra/identity/registry';
import { accessCheck } from '../access/access-check.ts';
import { contextOf, type DevicePeer, type Peer } from '../access/peer.ts';
import { observed } from '../calls/call-observer.ts';
import { serveCalls } from '../calls/server.ts';
import { DeviceConnections } from '../connections/device-connections.ts';
import { countEvent, type DeviceTrust, type ListenerOptions } from '../connections/device-listener.ts';
import type { ByteStream, ServerConnection, StreamRefusal } from './contract.ts';

export interface DeviceStreamsOptions
  extends Pick<
    ListenerOptions,
    'routes' | 'ownCalls' | 'unfinished' | 'clock' | 'onEvent' | 'onInternal' | 'observe'
  > {
  /** Decides about each device, for its connection and for each call. */
  readonly devices: DeviceTrust;
  /** The transport name that operators see for a connected device. */
  readonly transport: DevicePeer['transport'];
  /** Largest message, bytes. */
  readonly messageBytes: number;
}

/** Time for the answer to a refused call to leave before its connection is closed, ms. */
const refusedGraceMs = 20;
const sweepMs = 1_000;

export class DeviceStreams {
  readonly #options: DeviceStreamsOptions;
  readonly #devices: DeviceConnections;
  readonly #peers = new WeakMap<ServerConnection, Peer>();
  readonly #sweep: NodeJS.Timeout;
  /** For a listener: serves one stream of an admitted connection. */
  readonly serve: (stream: ByteStream, connection: ServerConnection) => Promise<void>;

  constructor(options: DeviceStreamsOptions) {
    const { routes, ownCalls, messageBytes, onInternal, observe } = options;
    this.#options = options;
    this.#devices = new DeviceConnections(options.devices.authenticator, onInternal);
    this.#sweep = setInterval(() => this.#devices.shutExpired(options.clock.now()), sweepMs).unref();
    this.serve = serveCalls({
      routes,
      check: observed(accessCheck(onInternal, ownCalls), observe),
      readMaxBytes: messageBytes,
      writeMaxBytes: messageBytes,
      contextValues: (connection) => contextOf(this.#peerOf(connection)),
      onError: onInternal,
    });
  }

  get connections(): number {
    return this.#devices.size;
  }

  /** Immediately shuts the connections affected by a change of the registry. */
  apply(event: RegistryEvent): void {
    this.#devices.apply(event);
  }

  /** For a listener: decides about a connection. @throws the code of a refusal. */
  async admit(connection: ServerConnection): Promise<void> {
    const { authenticator } = this.#options.devices;
    // Judged again by the present roots, because a resumed QUIC session brings the verdict of its first handshake.
    const certificate = judgeChain(authenticator.chainJudge, connection.peerChain);
    const { peer, admission, forget } = this.#devices.add({
      transport: this.#options.transport,
      certificate,
      source: connection.remoteAddress,
      origin: connection.origin,
      // Running calls end with the reason, then the connection ends. Calls that do not end are cut.
      shut: (reason) => {
        connection.unfinished.stop(reason);
        connection.shut(reason);
      },
      refused: (reason) => setTimeout(() => this.#close(connection, reason), refusedGraceMs).unref(),
    });
    void connection.closed.then(forget);
    this.#peers.set(connection, peer);
    try {
      const { deviceId } = await admission;
      connection.unfinished.belongsTo(deviceId);
      countEvent(this.#options, 'accepted');
    } catch (error) {
      countEvent(this.#options, 'refused_standing');
      throw error;
    }
  }

  /** For a listener: counts a connection that did not reach `admit`. */
  refused(reason: StreamRefusal): void {
    countEvent(this.#options, reason === 'limit' ? 'refused_limit' : reason);
  }

  /** Must run after the listener is closed. */
  stop(): void {
    clearInterval(this.#sweep);
  }

  /** Runs from a timer, where nothing catches an exception. */
  #close(connection: ServerConnection, reason: IdentityError): void {
    try {
      connection.close(reason);
    } catch (error) {
      this.#options.onInternal(error, 'closing a connection');
    }
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
