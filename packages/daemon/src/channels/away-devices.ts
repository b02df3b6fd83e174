// Devices that left during a call. A daemon whose connection to a device has ended is not asked to yield it, so it looks whether the
// device is at another daemon now.

import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceId } from '@palyra/identity/values';
import type { Device } from './calls.ts';
import type { OtherDaemons } from './other-daemons.ts';

const lookMs = 500;

export class AwayDevices {
  readonly #others: Pick<OtherDaemons, 'connectionsOf'>;
  readonly #waitsFor: (id: DeviceId) => Device | undefined;
  readonly #moved: (id: DeviceId, device: Device) => void;
  readonly #ids = new Set<DeviceId>();
  #looking: Promise<void> | undefined;

  /** @param waitsFor the device, as long as a call here waits for it. */
  constructor(
    others: Pick<OtherDaemons, 'connectionsOf'>,
    waitsFor: (id: DeviceId) => Device | undefined,
    moved: (id: DeviceId, device: Device) => void,
  ) {
    this.#others = others;
    this.#waitsFor = waitsFor;
    this.#moved = moved;
  }

  add(id: DeviceId): void {
    this.#ids.add(id);
    this.#looking ??= this.#look();
  }

  async #look(): Promise<void> {
    for (;;) {
      await sleep(lookMs, undefined, { ref: false });
      for (const id of this.#ids) if (!this.#waitsFor(id)) this.#ids.delete(id);
      if (this.#ids.size === 0) break;
      // While the database is away, nobody knows, and the calls end when their device has been away for too long.
      const found = await this.#others
        .connectionsOf([...this.#ids])
        .catch(() => new Map<DeviceId, unknown>());
      for (const id of found.keys()) {
        const device = this.#waitsFor(id);
        if (device) this.#moved(id, device);
      }
    }
    // In the same turn as the last look, so that no device waits without one.
    this.#looking = undefined;
  }
}
