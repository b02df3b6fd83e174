// The state of the tour of a fleet: a PostgreSQL server, three daemons, and a device.

import { join } from 'node:path';
import type { DaemonProcess } from '../../tests/testing/daemon-process.ts';
import type { PostgresServer } from '../../tests/testing/postgres.ts';
import { Scene } from './scene.ts';

export interface Member {
  readonly name: string;
  readonly home: string;
  daemon: DaemonProcess;
}

export class FleetScene extends Scene {
  server!: PostgresServer;
  /** The URL of the database. */
  url!: string;
  members!: readonly Member[];
  /** The daemon that has the channel of the device, until it is killed. */
  killed!: Member;

  static override async open(): Promise<FleetScene> {
    return new FleetScene(await Scene.folder());
  }

  homeOf(name: string): string {
    return join(this.path, name);
  }

  get living(): readonly Member[] {
    return this.members.filter((each) => each !== this.killed);
  }
}
