// A PostgreSQL server, and daemons with it or with SQLite, for shared-fleet.ts. Each daemon is the process of fleet-server.ts.

import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DaemonConfigInput } from '@palyra/daemon';
import { PostgresServer } from '../tests/testing/postgres.ts';
import { temporaryFolder } from '../tests/testing/temporary-folder.ts';
import type { FleetAddresses, FleetMember } from './fleet-server.ts';
import { answerOf } from './server-process.ts';

/** As on a small server: everything durable, and statements counted. */
const settings = `
shared_buffers = 256MB
max_connections = 100
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = 'top'
`;

/** What the daemons of one database have in common. */
export type SharedSettings = Required<Pick<DaemonConfigInput, 'registry' | 'masterKey'>>;

export function startPostgres(): Promise<PostgresServer> {
  return PostgresServer.start(settings);
}

export function settingsFor(url: string): SharedSettings {
  const folder = temporaryFolder();
  const [urlFile, path] = [join(folder, 'url'), join(folder, 'master.key')];
  writeFileSync(urlFile, url, { mode: 0o600 });
  writeFileSync(path, randomBytes(32), { mode: 0o600 });
  return { registry: { from: 'postgres', urlFile }, masterKey: { from: 'key-file', path } };
}

export class FleetDaemon implements AsyncDisposable {
  readonly home: string;
  readonly addresses: FleetAddresses;
  readonly members: readonly FleetMember[];
  readonly #child: ChildProcess;

  /** @param devices that it enrolls. */
  static async start(devices: number, config: DaemonConfigInput = {}): Promise<FleetDaemon> {
    const home = temporaryFolder();
    mkdirSync(join(home, 'daemon'), { mode: 0o700 });
    const words = [home, String(devices), JSON.stringify(config)];
    const child = fork(new URL('./fleet-server.ts', import.meta.url), words, {
      serialization: 'advanced',
      execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
    });
    const members: FleetMember[] = [];
    while (members.length < devices) members.push(...(await answerOf<FleetMember[]>(child)));
    const answered = answerOf<FleetAddresses>(child);
    child.send('addresses');
    return new FleetDaemon(child, home, await answered, members);
  }

  private constructor(
    child: ChildProcess,
    home: string,
    addresses: FleetAddresses,
    members: readonly FleetMember[],
  ) {
    this.#child = child;
    this.home = home;
    this.addresses = addresses;
    this.members = members;
  }

  get socket(): string {
    return join(this.home, 'daemon', 'admin.sock');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}
