// docs/fleet-compose.yml, as far as it can be checked without Docker: its YAML, and that the daemon and PostgreSQL take what it
// gives them.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseConfig } from '../../packages/daemon/src/config.ts';
import { parsePostgresUrl } from '../../packages/registry-sql/src/postgres/address.ts';
import { FleetForTests, missingPostgres } from '../testing/fleet.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const path = join(import.meta.dirname, '../../docs/fleet-compose.yml');
const missingYaml =
  spawnSync('/usr/bin/python3', ['-c', 'import yaml']).status !== 0 &&
  "NOT TESTED: Python's YAML parser is missing. Install Debian's python3-yaml.";

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly volumes: readonly string[];
  readonly ports?: readonly string[];
  readonly secrets: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly configs: { readonly daemon: { readonly content: string } };
  readonly secrets: Readonly<Record<string, object>>;
  readonly volumes: Readonly<Record<string, null>>;
}

function compose(): Compose {
  const program = 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)';
  const parsed = execFileSync('/usr/bin/python3', ['-c', program], { input: readFileSync(path) });
  return JSON.parse(String(parsed));
}

describe('the Compose file of a fleet', { skip: missingYaml }, () => {
  test('names nothing that it does not define', () => {
    const { services, secrets, volumes, configs } = compose();
    assert.deepEqual(Object.keys(services), ['database', 'a', 'b', 'c']);
    for (const [name, service] of Object.entries(services)) {
      for (const secret of service.secrets) assert.ok(secret in secrets, `${name}: ${secret}`);
      for (const volume of service.volumes) assert.ok(volume.split(':')[0]! in volumes, `${name}: ${volume}`);
      for (const { source } of service.configs ?? []) assert.ok(source in configs, `${name}: ${source}`);
    }
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    const outside = ports.map((each) => each.replace(/:\d+/, ''));
    assert.equal(new Set(outside).size, 9, 'no port is taken twice');
  });

  test('gives the daemon a configuration that it accepts, with the ports of the file', () => {
    const { services, configs } = compose();
    const config = parseConfig(JSON.parse(configs.daemon.content), 'The configuration');
    const of = (inside: string) =>
      ['a', 'b', 'c'].map(
        (name) => services[name]!.ports!.find((each) => each.endsWith(inside))!.split(':')[0],
      );
    const portsOf = (endpoints: readonly unknown[]) =>
      endpoints.map((each) => JSON.stringify(each).match(/\d{4}/)?.[0]);
    assert.deepEqual(portsOf(config.endpoints.pairing), of(':7443'));
    assert.deepEqual(portsOf(config.endpoints.node), of(':7444'));
    assert.deepEqual(portsOf(config.endpoints.quic), of(':7444/udp'));
    const { registry, masterKey } = config;
    assert.ok(registry.from === 'postgres');
    for (const { secrets, command } of ['a', 'b', 'c'].map((name) => services[name]!)) {
      for (const file of [registry.urlFile, masterKey.path ?? ''])
        assert.ok(
          secrets.some((secret) => file === `/run/secrets/${secret}`),
          file,
        );
      assert.deepEqual(command?.slice(-2), ['--config', services.a!.configs![0]!.target]);
    }
  });

  const fleet = new FleetForTests();

  test('makes secrets with its own commands that a daemon can use', { skip: missingPostgres }, async (t) => {
    const folder = temporaryFolder();
    const lines = readFileSync(path, 'utf8').split('\n');
    const commands = lines
      .filter((line) => line.startsWith('#   '))
      .map((line) => line.slice(4))
      .filter((line) => !/^(?:sudo|docker) /.test(line));
    assert.equal(commands.length, 4, commands.join('\n'));
    mkdirSync(join(folder, 'secrets'), { recursive: true });
    execFileSync('sh', ['-ec', commands.join('\n')], { cwd: folder });
    const secret = (name: string) => join(folder, 'secrets', name);
    const url = readFileSync(secret('database-url'), 'utf8');
    const { name, client } = await parsePostgresUrl(url);
    assert.deepEqual([name, client.user, client.ssl], ['/run/postgresql/palyra', 'palyra', false]);

    // The same roles and database, on the server of this test.
    const password = readFileSync(secret('database-password'), 'utf8').trim();
    await fleet.server.sql('postgres', `create role palyra login superuser password '${password}'`);
    await fleet.server.sql(
      'postgres',
      "create database palyra owner palyra encoding 'UTF8' template template0",
    );
    const host = new URL(fleet.server.url('palyra')).searchParams.get('host') ?? '';
    writeFileSync(secret('database-url'), url.replace('/run/postgresql', host));
    for (const each of ['database-url', 'master-key']) chmodSync(secret(each), 0o400);
    const settings = {
      url,
      registry: { from: 'postgres', urlFile: secret('database-url') },
      masterKey: { from: 'key-file', path: secret('master-key') },
    } as const;
    const [one, two] = await fleet.start(t, 2, {}, settings);
    assert.equal(one!.running.rootFingerprint, two!.running.rootFingerprint);
  });
});
