// The state of the tour: its folder, its processes, and the results of the steps so far.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
import type { DaemonProcess } from '../../tests/testing/daemon-process.ts';
import type { PalyraProcess } from '../../tests/testing/palyra-process.ts';

export class Scene {
  readonly path: string;
  /** The home of the daemon. */
  readonly home: string;
  /** The home of the approved device. */
  readonly deviceHome: string;
  /** The home of a device without the code. */
  readonly strangerHome: string;
  daemon!: DaemonProcess;
  code!: string;
  /** `palyra pair`, while it waits for the operator. */
  pair!: PalyraProcess;
  requestId!: string;
  /** The words that the device shows. */
  words!: string;
  deviceId!: string;
  /** The homes of a daemon and a device from before this tour. */
  readonly earlierHome: string;
  readonly earlierDeviceHome: string;
  /** `palyra node run`, until the revocation of the device. */
  agent!: PalyraProcess;
  readonly #ends: (() => Promise<void>)[] = [];

  static async open(): Promise<Scene> {
    return new Scene(await Scene.folder());
  }

  protected static folder(): Promise<string> {
    return mkdtemp(join(tmpdir(), 'palyra-tour-'));
  }

  protected constructor(folder: string) {
    this.path = folder;
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

/** Opens the device store of a home. Close it afterwards. */
export async function openDeviceStore(home: string): Promise<FilesystemSecretStore> {
  const masterKey = await masterKeyFromFile({ path: join(home, 'device', 'master.key') });
  return FilesystemSecretStore.open({ path: join(home, 'device', 'secrets'), masterKey });
}
