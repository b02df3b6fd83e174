// A daemon with its configuration outside its home: every command that works on its files finds the configuration.

import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type RunningDaemon, startDaemon } from '@palyra/daemon';
import { backupHome } from '@palyra/daemon/home';
import { runRecorded, temporaryFolder } from '../testing/recorded-run.ts';

const anyPort = { host: '127.0.0.1', port: 0 };

test('backup, doctor, rekey and restore work with the configuration the daemon was started with', async (t) => {
  const folder = await temporaryFolder(t);
  const [home, elsewhere] = [join(folder, 'home'), join(folder, 'etc')];
  await mkdir(elsewhere);
  const configFile = join(elsewhere, 'config.json');
  const keyFile = join(elsewhere, 'master.key');
  const settings = {
    pairing: anyPort,
    node: anyPort,
    quic: { enabled: false },
    console: { enabled: false },
    cloning: 'quarantine',
    masterKey: { from: 'key-file', path: keyFile },
  };
  await writeFile(configFile, JSON.stringify(settings));
  const passphrase = join(folder, 'passphrase');
  await writeFile(passphrase, 'correct horse battery', { mode: 0o600 });
  let daemon: RunningDaemon = await startDaemon({ home, configFile });
  t.after(() => daemon.close(AbortSignal.abort()));
  const palyra = async (expected: number, ...args: string[]) => {
    const ran = await runRecorded({ args: ['--home', home, '--json', ...args] });
    assert.equal(ran.exitCode, expected, `palyra ${args.join(' ')}: ${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  };

  const copy = (name: string) => ['backup', join(folder, name), '--passphrase-file', passphrase];
  await palyra(0, 'doctor');
  await palyra(0, 'doctor', '--config', configFile);
  const file = join(folder, 'remembered.age');
  await backupHome(home, file, 'correct horse battery', { scryptLogN: 10 });
  await palyra(0, ...copy('named.age'), '--config', configFile);
  assert.match(await palyra(1, 'doctor', '--config', join(folder, 'none')), /none does not exist/);

  await daemon.close();
  const keyBefore = await readFile(keyFile);
  await palyra(0, 'secrets', 'rekey');
  const keyBetween = await readFile(keyFile);
  await palyra(0, 'secrets', 'rekey', '--config', configFile);
  const keyAfter = await readFile(keyFile);
  assert.ok(!keyBefore.equals(keyBetween) && !keyBetween.equals(keyAfter));

  // Fields missing from the file get the defaults of the daemon that reads it.
  const other = join(folder, 'other');
  await palyra(0, '--home', other, 'restore', file, '--passphrase-file', passphrase, '--none-revoked');
  assert.deepEqual(JSON.parse(await readFile(join(other, 'daemon', 'config.json'), 'utf8')), settings);

  await palyra(0, 'restore', file, '--passphrase-file', passphrase, '--config', configFile);
  assert.ok(!(await readdir(join(home, 'daemon'))).some((name) => /master\.key|config\.json/.test(name)));
  daemon = await startDaemon({ home, configFile });
  await palyra(0, 'doctor');
  await daemon.close();

  await rename(keyFile, `${keyFile}.away`);
  await assert.rejects(startDaemon({ home, configFile }), {
    code: 'MASTER_KEY_WRONG',
    message: /master\.key does not exist/,
  });
  assert.match(await palyra(1, 'doctor'), /master\.key does not exist/);
  await palyra(6, 'secrets', 'rekey');
  await palyra(6, ...copy('keyless.age'));
  assert.deepEqual((await readdir(elsewhere)).sort(), ['config.json', 'master.key.away']);
});

test('a start uses the configuration of the last start, until an option names another one', async (t) => {
  const folder = await temporaryFolder(t);
  const home = join(folder, 'home');
  const configFile = join(folder, 'config.json');
  const config = { pairing: anyPort, node: anyPort, quic: { enabled: false }, console: { enabled: false } };
  await writeFile(configFile, JSON.stringify({ ...config, limits: { liveCodes: 7 } }));
  const started = async (options: object) => (await startDaemon({ home, ...options })).close();
  await started({ configFile });
  await writeFile(join(home, 'daemon', 'config.json'), JSON.stringify(config));
  await started({});
  const before = await runRecorded({ args: ['--home', home, '--json', 'doctor'] });
  assert.ok(before.stdout.includes(configFile), before.stdout);
  await started({ configFile: join(home, 'daemon', 'config.json') });
  await started({});
  const { stdout } = await runRecorded({ args: ['--home', home, '--json', 'doctor'] });
  assert.ok(stdout.includes(join(home, 'daemon', 'config.json')), stdout);
});
