// The bad days of a database with real parts: PostgreSQL with its standbys, dumps and disks, and daemons as processes. Each has
// a code and an exit code, no acknowledged change is lost, and the same daemons go on where that is safe.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { IdentityErrorCode } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { DatabaseLink } from '../testing/database-link.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, type FleetSettings, missingPostgres } from '../testing/fleet.ts';
import { PalyraProcess, type Scope } from '../testing/palyra-process.ts';
import { PostgresServer } from '../testing/postgres.ts';
import { makeDevice, pair, type SampleDevice } from '../testing/sample-device.ts';
import { mountSmallDisk } from '../testing/small-disk.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until, within } from '../testing/until.ts';

/** Enough for two daemons. */
const connections = 30;
/** The exit code of a failed store. */
const storeFailed = 6;

interface Paired {
  readonly device: SampleDevice;
  readonly enrollment: PairedEnrollment;
}

describe('a bad day of the database', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests(`max_connections = ${connections}`);
  /** Each daemon reaches the database over its own link. */
  const links: DatabaseLink[] = [];
  let [a, b]: DaemonProcess[] = [];
  let settings: FleetSettings;
  let known: Paired;

  const ends: (() => Promise<void>)[] = [];
  const suite: Scope = { after: (end) => ends.push(end) };
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  before(async () => {
    settings = await fleet.settings();
    for (const _ of [1, 2]) links.push(await DatabaseLink.listen(suite, settings.url));
    [a, b] = await Promise.all(links.map(({ url }) => startOne(suite, fleet, settings, url)));
    known = await pairAt(a!);
  });

  test('unreachable from one daemon only: that one refuses, and the other one serves', async () => {
    links[0]!.cut();
    await refuses(a!, known, 'STORE_UNREACHABLE');
    await serves(b!, known);
    const lost = await pairAt(b!);
    await (await b!.admin()).revokeDevice({ id: lost.device.identity.id, reason: 'lost' });
    await assert.rejects(ask(a!, lost), 'what was revoked meanwhile is not accepted');
    links[0]!.mend();
    await serves(a!, known);
    await expectCode(ask(a!, lost), 'DEVICE_REVOKED');
  });

  test('no connection is left: calls are refused, until there are some again', async () => {
    const held = [await fleet.server.hold(settings.url, 'select 1')];
    const [first] = held;
    try {
      await until('every connection is in use, and none by a daemon', async () => {
        const ended = await first!.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'palyra'",
        );
        for (;;) {
          const refused = await fleet.server.hold(settings.url, 'select 1').then(
            (client) => void held.push(client),
            (error) => error.code,
          );
          if (refused === '53300') return ended.rowCount === 0;
          assert.equal(refused, undefined);
        }
      });
      await refuses(a!, known, 'STORE_UNREACHABLE', /no connection left/);
    } finally {
      for (const client of held) await client.end();
    }
    await serves(a!, known);
    await serves(b!, known);
  });

  test('restored from a dump that lacks a revocation: refused, also after a restart, until the newest is back', async (t) => {
    const lost = await pairAt(a!);
    const dump = postgresProgram('pg_dump', [settings.url]);
    await (await a!.admin()).revokeDevice({ id: lost.device.identity.id, reason: 'lost' });
    await expectCode(ask(b!, lost), 'DEVICE_REVOKED');
    const name = new URL(settings.url).pathname.slice(1);
    const replace = async (...statements: string[]) => {
      for (const link of links) link.cut();
      await until('nobody uses the database', async () => {
        const used = await fleet.server.sql(
          'postgres',
          `select 1 from pg_stat_activity where datname = '${name}' and backend_type = 'client backend'`,
        );
        return used.length === 0;
      });
      for (const each of statements) await fleet.server.sql('postgres', each);
    };
    await replace(`alter database ${name} rename to newest`, `create database ${name} template template0`);
    postgresProgram('psql', ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', settings.url], dump);
    for (const link of links) link.mend();
    await refuses(a!, lost, 'REGISTRY_WENT_BACK', /older copy/);
    await refuses(b!, known, 'REGISTRY_WENT_BACK');
    await b!.stop();
    await doesNotStart(b!.home, 'REGISTRY_WENT_BACK');
    await replace(`drop database ${name}`, `alter database newest rename to ${name}`);
    for (const link of links) link.mend();
    await serves(a!, known);
    await expectCode(ask(a!, lost), 'DEVICE_REVOKED');
    b = await DaemonProcess.start(suite, { home: b!.home });
    await serves(b, known);
    t.diagnostic(`a dump of ${dump.length} bytes`);
  });

  test('failed over to a synchronous standby: nothing acknowledged is lost, and to one without it: refused', async (t) => {
    const standby = await follow(fleet.server);
    t.after(() => standby.stop());
    await fleet.server.alter("set synchronous_standby_names = 'standby'");
    await until('the standby is synchronous', async () => {
      const rows = await fleet.server.sql('postgres', 'select sync_state from pg_stat_replication');
      return rows[0]?.sync_state === 'sync';
    });
    const lost = await pairAt(b!);
    const acknowledged: string[] = [];
    const { id } = known.device.identity;
    // A change that begins between two connections of a daemon meets no error.
    let isOver = false;
    const changes = [a!, b!].map(async (daemon, number) => {
      for (let step = 1; !isOver; step += 1) {
        const change = `daemon ${number}, change ${step}`;
        try {
          await (await daemon.admin()).renameDevice({ id, name: change });
        } catch {
          return;
        }
        acknowledged.push(change);
      }
    });
    await (await a!.admin()).revokeDevice({ id: lost.device.identity.id, reason: 'lost' });
    await until('changes are made', () => acknowledged.length > 10);
    await fleet.server.kill();
    await standby.promote();
    for (const link of links) link.leadTo(standby.url(''));
    isOver = true;
    await within('the last changes are answered', Promise.all(changes));
    await serves(a!, known);
    await serves(b!, known);
    for (const daemon of [a!, b!]) await expectCode(ask(daemon, lost), 'DEVICE_REVOKED');
    const rows = await standby.sql(settings.url, 'select detail_json from audit');
    const audit = rows.map((row) => String(row.detail_json)).join('\n');
    for (const change of acknowledged) assert.ok(audit.includes(JSON.stringify(change)), change);
    assert.ok((await (await b!.admin()).verifyAudit({})).ok);

    const late = await follow(standby);
    t.after(() => late.stop());
    await late.alter("set primary_conninfo = ''");
    await until('it follows no more', async () => {
      const rows = await standby.sql('postgres', 'select 1 from pg_stat_replication');
      return rows.length === 0;
    });
    const forgotten = await pairAt(a!);
    await (await a!.admin()).revokeDevice({ id: forgotten.device.identity.id, reason: 'lost' });
    await expectCode(ask(b!, forgotten), 'DEVICE_REVOKED');
    await standby.kill();
    await late.promote();
    for (const link of links) link.leadTo(late.url(''));
    for (const daemon of [a!, b!]) {
      await refuses(daemon, known, 'REGISTRY_WENT_BACK', /standby/);
      await assert.rejects(ask(daemon, forgotten));
    }
    await a!.stop();
    await doesNotStart(a!.home, 'REGISTRY_WENT_BACK');
  });

  async function follow(primary: PostgresServer): Promise<PostgresServer> {
    return PostgresServer.start(`max_connections = ${connections}`, { follows: primary });
  }

  test('out of disk: refused with nothing lost, and well again when there is space', async (t) => {
    const disk = await mountSmallDisk(t, 128 * 1024 * 1024);
    if (!disk) return;
    const server = await PostgresServer.start('max_wal_size = 32MB', { folder: disk.path });
    t.after(() => server.stop());
    const url = await server.database();
    const daemon = await startOne(t, fleet, { ...settings, url }, url);
    const paired = await pairAt(daemon);
    const { id } = paired.device.identity;
    const admin = await daemon.admin();
    await disk.fill();
    const made: string[] = [];
    const refused = await until('the database has no space left', async () => {
      // So long that a few fill the pages that are there.
      const name = `change ${made.length} ${'x'.repeat(40)}`;
      try {
        await admin.renameDevice({ id, name });
        made.push(name);
        return false;
      } catch (error) {
        return { error };
      }
    });
    await expectCode(Promise.reject(refused.error), 'STORE_FULL');
    const { exitCode, stderr } = await runRecorded({
      args: ['--home', daemon.home, 'devices', 'rename', id, 'full'],
    });
    assert.equal(exitCode, storeFailed, stderr);
    assert.match(stderr, /disk of the database .* is full/);
    await disk.free();
    await serves(daemon, paired);
    const rows = await server.sql(url, 'select detail_json from audit');
    const audit = rows.map((row) => String(row.detail_json)).join('\n');
    for (const name of made) assert.ok(audit.includes(name), name);
    assert.ok((await admin.verifyAudit({})).ok);
    t.diagnostic(`${made.length} changes before the disk was full`);
  });
});

async function startOne(
  scope: Scope,
  fleet: FleetForTests,
  settings: FleetSettings,
  url: string,
): Promise<DaemonProcess> {
  const urlFile = join(temporaryFolder(), 'database-url');
  writeFileSync(urlFile, url, { mode: 0o600 });
  const registry = { ...settings.registry, urlFile };
  const [daemon] = await fleet.startProcesses(scope, 1, { ...settings, registry });
  return daemon!;
}

async function pairAt(daemon: DaemonProcess): Promise<Paired> {
  const device = await makeDevice();
  const admin = await daemon.admin();
  const at = {
    admin,
    pairingAddress: daemon.pairingAddress,
    peer: (pending?: never) => daemon.peer(pending),
  };
  return { device, enrollment: await pair(at as never, device) };
}

/** One call of the device, on a new connection. */
async function ask(daemon: DaemonProcess, { enrollment }: Paired): Promise<void> {
  await (await daemon.node(enrollment)).status({});
}

/** Sooner or later, by itself. */
async function serves(daemon: DaemonProcess, paired: Paired): Promise<void> {
  const { id } = paired.device.identity;
  await until('it serves', () =>
    Promise.all([
      ask(daemon, paired),
      daemon.admin().then((admin) => admin.renameDevice({ id, name: 'again' })),
    ]).then(
      () => true,
      () => false,
    ),
  );
}

/** Devices and operators alike. */
async function refuses(
  daemon: DaemonProcess,
  paired: Paired,
  code: IdentityErrorCode,
  sentence = /./,
): Promise<void> {
  await expectCode(ask(daemon, paired), code);
  const { exitCode, stdout, stderr } = await runRecorded({
    args: ['--home', daemon.home, '--json', 'devices', 'list'],
  });
  assert.equal(exitCode, storeFailed, stdout + stderr);
  const { error } = JSON.parse(stdout || stderr);
  assert.equal(error.code, code);
  assert.match(error.message, sentence);
}

async function doesNotStart(home: string, code: IdentityErrorCode): Promise<void> {
  const { exitCode, stdout, stderr } = await PalyraProcess.start(['daemon'], { home }).ended;
  assert.equal(exitCode, storeFailed, stdout + stderr);
  assert.match(stdout + stderr, new RegExp(code));
}

function postgresProgram(name: string, words: readonly string[], input = ''): string {
  const [program = name] = globSync(`/usr/lib/postgresql/*/bin/${name}`).sort().reverse();
  return execFileSync(program, words, { input, encoding: 'utf8', cwd: '/', maxBuffer: 64 * 1024 * 1024 });
}
