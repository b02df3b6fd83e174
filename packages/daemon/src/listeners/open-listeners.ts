// The open listeners of a daemon.

import type { ServerCredential } from '@palyra/identity';
import type { ListenerWord } from '@palyra/rpc/admin';
import type { DeviceListener } from '@palyra/rpc/transport';
import type { Problem } from '../problems.ts';

export interface OpenListener {
  readonly name: ListenerWord;
  /** The address shown to operators. */
  readonly address: string;
  /** Present for a listener that presents the daemon's certificate. */
  readonly tls?: DeviceListener;
  /** Closes it when the daemon stops. Absent: it serves until everything else is closed. */
  readonly close?: (until: AbortSignal) => Promise<void>;
}

/** The order in which operators see the listeners. */
const shown: readonly OpenListener['name'][] = [
  'pairing',
  'node',
  'quic',
  'web',
  'admin',
  'publish',
  'metrics',
  'console',
];

export class OpenListeners {
  readonly #open: OpenListener[] = [];
  /** Listeners that this machine does not support. */
  readonly problems: Problem[] = [];

  add(listener: OpenListener): void {
    this.#open.push(listener);
    this.#open.sort((one, other) => shown.indexOf(one.name) - shown.indexOf(other.name));
  }

  get addresses(): { readonly name: ListenerWord; readonly address: string }[] {
    return this.#open.map(({ name, address }) => ({ name, address }));
  }

  /** 0 if the listener is not open. */
  portOf(name: 'pairing' | 'node' | 'quic' | 'web'): number {
    return this.#open.find((each) => each.name === name)?.tls?.port ?? 0;
  }

  /** Current connections by listener. */
  get connections(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = { node: 0, quic: 0, pairing: 0 };
    for (const { name, tls } of this.#open) if (tls) counts[name] = tls.connections;
    return counts;
  }

  async swapCredential(credential: ServerCredential, trustBundle: readonly Uint8Array[]): Promise<void> {
    for (const { tls } of this.#open) await tls?.swapCredential(credential, trustBundle);
  }

  /** Closes all listeners at the same time. Never rejects. */
  close(until: AbortSignal): Promise<PromiseSettledResult<void>[]> {
    return Promise.allSettled(this.#open.map(({ close }) => close?.(until)));
  }
}
