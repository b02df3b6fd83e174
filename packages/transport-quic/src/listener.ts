// The node services over QUIC, with the routes of HTTP/2 and its checks of every connection, call and message.

import { IdentityError, type ServerCredential } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { StreamLimits } from '@palyra/rpc/portable';
import {
  type DeviceListener,
  DeviceStreams,
  type DeviceTrust,
  type ListenerOptions,
  type ServerTlsConfig,
  type StreamListener,
} from '@palyra/rpc/transport';
import { createQuic } from './quiche/quic.ts';
import type { QuicheRuntime } from './quiche/runtime.ts';

export interface QuicDeviceListenerOptions extends ListenerOptions {
  /** Mutual TLS: the roots that device chains may lead to, and the authenticator of devices. */
  readonly devices: DeviceTrust;
  /** Default `portable`. */
  readonly runtime?: QuicheRuntime;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<StreamLimits>;
  /** Largest message, bytes. */
  readonly messageBytes: number;
}

export class QuicDeviceListener implements DeviceListener {
  readonly #options: QuicDeviceListenerOptions;
  readonly #streams: DeviceStreams;
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
    this.#streams = new DeviceStreams({ ...options, transport: 'quic' });
    this.#listener = notListening;
  }

  get port(): number {
    return this.#listener.port;
  }

  get connections(): number {
    return this.#streams.connections;
  }

  apply(event: RegistryEvent): void {
    this.#streams.apply(event);
  }

  /**
   * The library cannot change a listener's certificate, so devices reconnect to a new listener on the same port. Swaps run one at
   * a time. A closing listener ignores swaps.
   */
  swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): Promise<void> {
    const swapped = this.#swap(credential, trustBundle);
    // The caller of a swap gets its error. The next swap only waits for it to end.
    this.#swapping = swapped.catch(() => {});
    return swapped;
  }

  async #swap(credential: ServerCredential, trustBundle: readonly Uint8Array[]): Promise<void> {
    if (this.#closed) return;
    await this.#listener.close(
      new IdentityError('UNREACHABLE', 'The daemon has a new certificate. Connect again.'),
    );
    // If listening fails below, the next credential starts the next attempt.
    this.#listener = notListening;
    if (this.#closed) return;
    this.#listener = await this.#listen(this.#port, credential, trustBundle);
  }

  close(until?: AbortSignal): Promise<void> {
    this.#closed ??= this.#close(until).finally(() => this.#streams.stop());
    return this.#closed;
  }

  async #close(until: AbortSignal | undefined): Promise<void> {
    // A swap in progress may still open a new listener. Wait, and close that one.
    await this.#swapping;
    await this.#listener.close(new IdentityError('UNREACHABLE', 'The daemon stops.'), until);
  }

  #listen(
    port: number,
    credential: ServerCredential,
    trustBundle: readonly Uint8Array[],
  ): Promise<StreamListener> {
    const { host, runtime, limits, unfinished, onInternal } = this.#options;
    const tls: ServerTlsConfig = {
      certificateChain: certificatesToPem(credential.certificateChain),
      privateKey: credential.key.toPem(),
      clientRoots: certificatesToPem(trustBundle),
    };
    return createQuic(runtime ? { runtime } : {}).listen({
      host,
      port,
      tls,
      // BoringSSL stops at its first error, so a chain that arrives here is verified, including its dates.
      admit: (connection) => this.#streams.admit(connection),
      serve: this.#streams.serve,
      onError: (error) => onInternal(error, 'the QUIC listener'),
      onRefused: (reason) => this.#streams.refused(reason),
      ...(limits && { limits }),
      ...(unfinished && { unfinished }),
    });
  }
}

const notListening: StreamListener = {
  host: '',
  port: 0,
  connectionCount: 0,
  close: async () => {},
};
