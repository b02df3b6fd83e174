// A daemon serves a database with a role that can neither change tables nor rewrite the audit, set up by the printed SQL.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { runRecorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { expectCode } from '../testing/expect-code.ts';
import { FleetForTests, type FleetSettings, missingPostgres } from '../testing/fleet.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

describe('a role with the least rights', { skip: missingPostgres }, () => {
  const fleet = new FleetForTests();
  const home = temporaryFolder();
  let rounds = 0;

  async function cli(...args: string[]) {
    const { exitCode, stdout, stderr } = await runRecorded({ args: [...args, '--home', home] });
    return { exitCode, stdout, stderr };
  }

  function urlFile(url: string): string {
    const path = join(temporaryFolder(), 'url');
    writeFileSync(path, url, { mode: 0o600 });
    return path;
  }

  /** A database made by the printed SQL; its names, and settings of daemons with its serving role. */
  async function setUp() {
    rounds += 1;
    const [database, owner, serveAs] = [`fleet_${rounds}`, `owner_${rounds}`, `serving_${rounds}`];
    const { exitCode, stdout, stderr } = await cli(
      ...['registry', 'sql', '--database', database, '--owner', owner, '--serve-as', serveAs],
    );
    assert.equal(exitCode, 0, stderr);
    const [psql = 'psql'] = globSync('/usr/lib/postgresql/*/bin/psql').sort().reverse();
    execFileSync(psql, ['--no-psqlrc', '--set=ON_ERROR_STOP=1', fleet.server.url('postgres')], {
      input: stdout,
      cwd: '/',
    });
    // As after an upgrade from PostgreSQL 14.
    await fleet.server.sql(database, 'grant create on schema public to public');
    const given = await fleet.settings();
    const url = fleet.server.url(database, serveAs);
    const settings: FleetSettings = {
      ...given,
      url,
      registry: { from: 'postgres', urlFile: urlFile(url) },
    };
    const prepare = () =>
      cli(
        ...['registry', 'prepare', '--url-file', urlFile(fleet.server.url(database, owner))],
        ...['--serve-as', serveAs],
      );
    return { database, owner, serveAs, settings, prepare };
  }

  async function prepared() {
    const made = await setUp();
    const { exitCode, stderr } = await made.prepare();
    assert.equal(exitCode, 0, stderr);
    return made;
  }

  /** Pairs, calls and revokes. */
  async function useFleet(t: TestContext, settings: FleetSettings): Promise<void> {
    const [a, b] = await fleet.start(t, 2, {}, settings);
    const device = await makeDevice();
    const enrollment = await pair(a!, device);
    const node = await b!.node(enrollment);
    await node.status({});
    await b!.running.tick();
    await a!.admin.renameDevice({ id: device.identity.id, name: 'renamed' });
    await a!.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
    await assert.rejects(node.status({}));
    await expectCode((await b!.node(enrollment)).status({}), 'DEVICE_REVOKED');
  }

  test('serves two daemons through the life of a device, and again after the next preparation', async (t) => {
    const { settings, prepare } = await prepared();
    await useFleet(t, settings);
    assert.equal((await prepare()).exitCode, 0);
    const [again] = await fleet.start(t, 1, {}, settings);
    await pair(again!, await makeDevice());
  });

  test('cannot drop, alter or make a table, change or remove a row of the audit, or take a revocation back', async () => {
    const { settings, serveAs } = await prepared();
    for (const statement of [
      'drop table devices',
      'alter table ledger add column more text',
      'create table more (id int)',
      'create temporary table more (id int)',
      "update audit set action = 'x'",
      'delete from audit',
      'truncate audit',
      'delete from revocations',
      "update revocations set reason = 'x'",
      'delete from devices',
      'delete from certificates',
      'delete from ledger',
      'alter table devices disable trigger all',
    ])
      await assert.rejects(
        fleet.server.sql(settings.url, `set role ${serveAs}; ${statement}`),
        /permission denied|must be owner/,
        statement,
      );
  });

  test('needs the tables from their owner, and says so', async (t) => {
    const { settings, prepare } = await setUp();
    await fleet.server.sql(settings.url, 'revoke create on schema public from public');
    await assert.rejects(fleet.start(t, 1, {}, settings), {
      code: 'STORE_PERMISSIONS',
      message: /registry prepare/,
    });
    await prepare();
    await fleet.start(t, 1, {}, settings);
  });

  test('a right that is missing has a code and a sentence, and nothing is changed', async (t) => {
    const { settings, serveAs, prepare } = await prepared();
    const [daemon] = await fleet.start(t, 1, {}, settings);
    await fleet.server.sql(settings.url, `revoke insert on audit from ${serveAs}`);
    await expectCode(daemon!.admin.mintCode({}), 'STORE_PERMISSIONS');
    await assert.rejects(daemon!.admin.mintCode({}), /registry prepare/);
    await prepare();
    await daemon!.admin.mintCode({});
  });

  for (const name of ['Palyra', 'a-b', 'x; drop table y', '', 'a"b'])
    test(`the name ${JSON.stringify(name)} does not get into SQL`, async () => {
      for (const option of ['--database', '--owner', '--serve-as'])
        assert.notEqual((await cli('registry', 'sql', option, name)).exitCode, 0);
    });

  test('the owner and the serving role are two roles', async () => {
    const { exitCode, stderr } = await cli('registry', 'sql', '--owner', 'palyra');
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /two roles/);
  });
});
