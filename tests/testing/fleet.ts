// Several daemons that share one PostgreSQL database, and what their homes need.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, type TestContext } from 'node:test';
import type { DaemonConfigInput } from '@palyra/daemon';
import { DaemonProcess } from './daemon-process.ts';
import type { PalyraOptions, Scope } from './palyra-process.ts';
import { logsStatements, PostgresServer } from './postgres.ts';
import { TestDaemon, type TestDaemonOptions } from './running-daemon.ts';
import { temporaryFolder } from './temporary-folder.ts';

export { missingPostgres } from './postgres.ts';

/** What the daemons of one fleet have in common. */
export interface FleetSettings {
  readonly url: string;
  readonly registry: Extract<NonNullable<DaemonConfigInput['registry']>, { from: 'postgres' }>;
  readonly masterKey: NonNullable<DaemonConfigInput['masterKey']>;
}

/** One PostgreSQL server for a test file. Each fleet has a database of its own. */
export class FleetForTests {
  #server: PostgresServer | undefined;
  readonly #listens: boolean;

  /**
   * @param settings of the server, as in postgresql.conf.
   * @param options.listens false for fleets without notifications: then no statement may ask for them, or for advisory locks.
   */
  constructor(settings = '', { listens = true } = {}) {
    this.#listens = listens;
    before(async () => {
      this.#server = await PostgresServer.start(listens ? settings : `${settings}\n${logsStatements}`);
    });
    after(async () => {
      try {
        if (!listens) assert.deepEqual(await this.server.notPortable(), []);
      } finally {
        await this.#server?.stop();
      }
    });
  }

  get server(): PostgresServer {
    if (!this.#server) throw new TypeError('the server starts before the first test');
    return this.#server;
  }

  /** An empty database, and the files that name it. */
  async settings(): Promise<FleetSettings> {
    const url = await this.server.database();
    const folder = temporaryFolder();
    const [urlFile, key] = [join(folder, 'database-url'), join(folder, 'master.key')];
    writeFileSync(urlFile, `${url}\n`, { mode: 0o600 });
    writeFileSync(key, randomBytes(32), { mode: 0o600 });
    const registry = { from: 'postgres', urlFile, ...(!this.#listens && { listen: false }) } as const;
    return { url, registry, masterKey: { from: 'key-file', path: key } };
  }

  /** Starts daemons as processes, all at the same time. */
  async startProcesses(
    t: Scope,
    count: number,
    settings: FleetSettings,
    extra: DaemonConfigInput = {},
    options: Omit<PalyraOptions, 'home'> = {},
  ): Promise<DaemonProcess[]> {
    const here = { host: '127.0.0.1', port: 0 };
    const config: DaemonConfigInput = {
      pairing: here,
      node: here,
      announce: false,
      console: { enabled: false },
      limits: { opensPerMinutePerSource: 10_000, opensPerMinute: 10_000, stopGraceMs: 1_000 },
      registry: settings.registry,
      masterKey: settings.masterKey,
      ...extra,
    };
    const starts = Array.from({ length: count }, async () =>
      DaemonProcess.start(t, { home: homeWith(config), ...options }),
    );
    return allOf(starts);
  }

  /** Starts daemons in this process, all at the same time. */
  async start(
    t: TestContext,
    count: number,
    options: TestDaemonOptions = {},
    settings?: FleetSettings,
  ): Promise<TestDaemon[]> {
    const { registry, masterKey } = settings ?? (await this.settings());
    const starts = Array.from({ length: count }, () =>
      TestDaemon.start(t, { registry, masterKey, ...options }),
    );
    return allOf(starts);
  }
}

/** If one fails, the others are waited for: what a test started ends with it only if it had started by then. */
async function allOf<T>(starts: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(starts);
  return Promise.all(starts);
}

/** A home for a daemon with this configuration. */
export function homeWith(config: DaemonConfigInput): string {
  const home = temporaryFolder();
  mkdirSync(join(home, 'daemon'), { mode: 0o700 });
  writeFileSync(join(home, 'daemon', 'config.json'), JSON.stringify(config), { mode: 0o600 });
  return home;
}
