// Which devices are connected now, to whichever daemon of the fleet.

import type { DeviceId } from '@palyra/identity/values';
import type { Channel } from './channel.ts';
import type { DeviceChannels } from './device-channels.ts';
import type { OtherDaemons } from './other-daemons.ts';

export type ConnectionFacts = Pick<Channel, 'transport' | 'quicProblem' | 'origin'>;

export class Connections {
  readonly #channels: Pick<DeviceChannels, 'connectionOf' | 'connected' | 'watch'>;
  readonly #others: OtherDaemons | undefined;

  /** @param others undefined for a daemon that is alone. */
  constructor(
    channels: Pick<DeviceChannels, 'connectionOf' | 'connected' | 'watch'>,
    others: OtherDaemons | undefined,
  ) {
    this.#channels = channels;
    this.#others = others;
  }

  /** The connections of those of the devices that have one. */
  async of(ids: readonly DeviceId[]): Promise<Map<DeviceId, ConnectionFacts>> {
    const found = new Map<DeviceId, ConnectionFacts>();
    for (const id of ids) {
      const connection = this.#channels.connectionOf(id);
      if (connection) found.set(id, connection);
    }
    const missing = ids.filter((id) => !found.has(id));
    if (this.#others && missing.length > 0)
      for (const [id, connection] of await this.#others.connectionsOf(missing)) found.set(id, connection);
    return found;
  }

  /** The number of connected devices. */
  async count(): Promise<number> {
    return this.#channels.connected + ((await this.#others?.countElsewhere()) ?? 0);
  }

  /**
   * Calls the listener for devices that connect to this daemon, or disconnect.
   * @returns `elsewhere` tells which devices have done so at other daemons since its last call.
   */
  async watch(listener: (id: DeviceId) => void): Promise<{
    readonly elsewhere: () => Promise<readonly DeviceId[]>;
    readonly stop: () => void;
  }> {
    const elsewhere = (await this.#others?.watchElsewhere()) ?? (async () => []);
    return { elsewhere, stop: this.#channels.watch(listener) };
  }
}
