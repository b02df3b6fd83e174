// The stage of the tour: a folder of its own, the processes on it, and what the steps so far have brought.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
import type { DaemonProcess } from '../../tests/testing/daemon-process.ts';
import type { PalyraProcess } from '../../tests/testing/palyra-process.ts';

export class Scene {
  /** The daemon's. */
  readonly home: string;
  /** The device's that is let in. */
  readonly deviceHome: string;
  /** That of one who does not know the code. */
  readonly strangerHome: string;
  daemon!: DaemonProcess;
  code!: string;
  /** `palyra pair`, while it waits for the operator. */
  pair!: PalyraProcess;
  requestId!: string;
  /** As the device shows them. */
  words!: string;
  deviceId!: string;
  /** Of a daemon and a device that are older than this tour. */
  readonly earlierHome: string;
  readonly earlierDeviceHome: string;
  /** `palyra node run`, while the device holds. */
  agent!: PalyraProcess;
  readonly #ends: (() => Promise<void>)[] = [];

  static async open(): Promise<Scene> {
    return new Scene(await mkdtemp(join(tmpdir(), 'palyra-tour-')));
  }

  private constructor(folder: string) {
    this.home = join(folder, 'daemon');
    this.deviceHome = join(folder, 'device');
    this.strangerHome = join(folder, 'stranger');
    this.earlierHome = join(folder, 'earlier-daemon');
    this.earlierDeviceHome = join(folder, 'earlier-device');
    this.after(() => rm(folder, { recursive: true, force: true }));
  }

  after(end: () => Promise<void>): void {
    this.#ends.push(end);
  }

  /** Ends every process, then removes the folder. */
  async close(): Promise<void> {
    for (let end = this.#ends.pop(); end; end = this.#ends.pop()) await end();
  }
}

/** The device store of a home, as the command leaves it. Close it. */
export async function openDeviceStore(home: string): Promise<FilesystemSecretStore> {
  const masterKey = await masterKeyFromFile({ path: join(home, 'device', 'master.key') });
  return FilesystemSecretStore.open({ path: join(home, 'device', 'secrets'), masterKey });
}
