// Serves channels at one address: the services of the node listener to devices, and those of the pairing listener to anybody.
// The purpose of the channel selects the services.

import type { ConnectRouter } from '@connectrpc/connect';
import type { DaemonChannel, FloodLimits } from '@palyra/channel';
import { IdentityError, type ServerCredential } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairingChannel } from '@palyra/identity/pairing';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { ServerConnection, StreamLimits, UnfinishedBytes } from '@palyra/rpc/portable';
import {
  accessCheck,
  contextOf,
  countEvent,
  type DeviceListener,
  DeviceStreams,
  type DeviceTrust,
  type ListenerOptions,
  observed,
  type Peer,
  type ServerTlsConfig,
  serveCalls,
  sourceKey,
} from '@palyra/rpc/transport';
import { listen, type WebSocketListener } from './listen.ts';
import type { UpgradeRules } from './upgrade.ts';

export interface ChannelDeviceListenerOptions extends ListenerOptions, Omit<UpgradeRules, 'purposes'> {
  /** The accepted roots of device chains, and the authenticator of devices. */
  readonly devices: DeviceTrust;
  /** The services that anybody may call. Default: none. */
  readonly pairing?: ChannelPairing;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<StreamLimits>;
  /** How long a channel for `pair` may have no complete call, ms. Default: the time for a handshake. */
  readonly strangerIdleMs?: number;
  /** Default: `docs/limits.md`, "Channel". */
  readonly floods?: Partial<FloodLimits>;
  /** Size of the largest message, bytes. */
  readonly messageBytes: number;
}

/** The services of the pairing listener, on channels. */
export interface ChannelPairing {
  readonly routes: (router: ConnectRouter) => void;
  readonly messageBytes: number;
  /** Limits the bytes of incomplete messages of strangers. */
  readonly unfinished: UnfinishedBytes;
  readonly channelEnded: (channel: PairingChannel) => void;
}

export class ChannelDeviceListener implements DeviceListener {
  readonly #options: ChannelDeviceListenerOptions;
  readonly #streams: DeviceStreams;
  readonly #strangers = new WeakMap<ServerConnection, Peer>();
  #listener!: WebSocketListener;
  #closed: Promise<void> | undefined;

  /** @throws UNREACHABLE if the port is in use. */
  static async listen(options: ChannelDeviceListenerOptions): Promise<ChannelDeviceListener> {
    const listener = new ChannelDeviceListener(options);
    try {
      listener.#listener = await listener.#listen();
    } catch (error) {
      listener.#streams.stop();
      throw error;
    }
    return listener;
  }

  private constructor(options: ChannelDeviceListenerOptions) {
    this.#options = options;
    this.#streams = new DeviceStreams({ ...options, transport: 'websocket' });
  }

  get port(): number {
    return this.#listener.port;
  }

  get connections(): number {
    return this.#listener.connectionCount;
  }

  apply(event: RegistryEvent): void {
    this.#streams.apply(event);
  }

  /** Live channels stay open. */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): void {
    this.#listener.swap(tlsOf(credential, trustBundle));
  }

  close(until?: AbortSignal): Promise<void> {
    this.#closed ??= this.#listener
      .close(new IdentityError('UNREACHABLE', 'The daemon stops.'), until)
      .finally(() => this.#streams.stop());
    return this.#closed;
  }

  #listen(): Promise<WebSocketListener> {
    const { credential, devices, pairing, onInternal, observe, routes: _, ...options } = this.#options;
    const forStrangers =
      pairing &&
      serveCalls({
        routes: pairing.routes,
        check: observed(accessCheck(onInternal), observe),
        readMaxBytes: pairing.messageBytes,
        writeMaxBytes: pairing.messageBytes,
        contextValues: (connection) => contextOf(this.#strangers.get(connection)!),
        onError: onInternal,
      });
    return listen({
      ...options,
      tls: tlsOf(credential, devices.trustBundle),
      purposes: pairing ? ['node', 'pair'] : ['node'],
      ...(pairing && { strangersUnfinished: pairing.unfinished }),
      admit: async (connection) => {
        if (connection.purpose === 'node') await this.#streams.admit(connection);
        else this.#addStranger(connection);
      },
      serve: (stream, connection, begins) =>
        connection.purpose === 'node'
          ? this.#streams.serve(stream, connection)
          : forStrangers?.(stream, connection, begins),
      onError: (error) => onInternal(error, 'the web listener'),
      onRefused: (reason) => this.#streams.refused(reason),
    });
  }

  #addStranger(connection: DaemonChannel): void {
    const source = connection.remoteAddress;
    const channel = { channelBinding: connection.channelBinding, source };
    connection.unfinished.belongsTo(sourceKey(source));
    this.#strangers.set(connection, { caller: 'anyone', channel });
    void connection.closed.then(() => this.#options.pairing?.channelEnded(channel));
    countEvent(this.#options, 'accepted');
  }
}

const tlsOf = (
  { certificateChain, key }: ServerCredential,
  trustBundle: readonly Uint8Array[],
): ServerTlsConfig => ({
  certificateChain: certificatesToPem(certificateChain),
  privateKey: key.toPem(),
  clientRoots: certificatesToPem(trustBundle),
});
