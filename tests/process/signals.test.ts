// A daemon and an agent keep running when nobody reads their output and when their terminal closes. A command that cannot
// print its answer does not exit with success.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
import { AdminService, dialAdmin } from '@palyra/rpc';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { makeHome, PalyraProcess, palyra, palyraProgram } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';

const noFullDevice = !existsSync('/dev/full') && 'NOT TESTED: there is no /dev/full';

/** Started by the command, as people do, and not by its script. */
const command = join(dirname(palyraProgram), 'palyra');
const env = { PATH: `${dirname(process.execPath)}:${process.env.PATH}` };

test('a daemon outlives its output and its terminal, and keeps ignoring signals that were ignored at its start', {
  skip: noFullDevice,
}, async (t) => {
  const home = await makeHome(t);
  const shell = `trap '' INT; shift 2; exec ${command} "$@" >/dev/full 2>&1`;
  const daemon = PalyraProcess.start(['daemon'], { home, env, under: ['sh', '-c', shell] });
  t.after(async () => void (await daemon.end('SIGKILL')));
  const socket = join(home, 'daemon', 'admin.sock');
  const connection = await until('the daemon answers', () => dialAdmin(socket).catch(() => undefined));
  t.after(() => connection.close());
  const admin = createClient(AdminService, connection.transport);
  // Each event makes it print something.
  for (let index = 0; index < 3; index += 1) await admin.mintCode({});
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGHUP', 'SIGINT'] as const) {
    daemon.send(signal);
    const { liveCodes } = await admin.getStatus({});
    assert.equal(liveCodes, 3, `after ${signal}`);
  }
  const again = await dialAdmin(socket);
  again.close();
  const { exitCode, signal } = await daemon.end('SIGTERM');
  assert.deepEqual({ exitCode, signal }, { exitCode: 0, signal: null });
});

test('unused signals neither end a daemon nor open a debugger', async (t) => {
  const daemon = await DaemonProcess.start(t, { home: await makeHome(t) });
  const admin = await daemon.admin();
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGUSR1', 'SIGPIPE'] as const) {
    daemon.process.send(signal);
    await admin.getStatus({});
  }
  // Node announces a debugger there.
  assert.equal((await daemon.stop()).stderr, '');
});

test('an agent whose output nobody reads stays connected, and stops on a signal', async (t) => {
  const daemon = await TestDaemon.start(t);
  const home = temporaryFolder();
  const secrets = await FilesystemSecretStore.open({
    path: join(home, 'device', 'secrets'),
    masterKey: await masterKeyFromFile({ path: join(home, 'device', 'master.key') }),
  });
  const device = { ...(await makeDevice()), secrets };
  await device.identity.store(secrets);
  await pair(daemon, device);
  await secrets.close();
  const agent = PalyraProcess.start(['node', 'run'], { home });
  t.after(async () => void (await agent.end('SIGKILL')));
  await agent.line(({ event }) => event === 'connected');
  agent.closeOutput();
  const echo = () =>
    daemon.admin.executeCapability({
      deviceId: device.identity.id,
      capability: 'echo',
      input: new TextEncoder().encode('1'),
    });
  // The agent prints each call, too.
  for (let index = 0; index < 3; index += 1)
    assert.equal(new TextDecoder().decode((await echo()).output), '1');
  agent.send('SIGHUP');
  await echo();
  const { exitCode, signal } = await agent.end('SIGTERM');
  assert.deepEqual({ exitCode, signal }, { exitCode: 0, signal: null });
});

test('a backup that is interrupted leaves no file', async (t) => {
  const { home } = await DaemonProcess.start(t, { home: await makeHome(t) });
  const folder = temporaryFolder();
  const passphrase = join(temporaryFolder(), 'passphrase');
  await writeFile(passphrase, 'correct horse battery staple', { mode: 0o600 });
  const at = (place: string) => readdir(place).catch(() => []);
  const copies = join(home, 'daemon', 'copies');
  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const file = join(folder, 'palyra.age');
    const backup = PalyraProcess.start(['backup', file, '--passphrase-file', passphrase], { home });
    t.after(async () => void (await backup.end('SIGKILL')));
    // It is checked for a while, before it gets its name.
    await until('the file', async () => (await at(folder)).length > 0);
    const ended = await backup.end(signal);
    assert.equal(ended.exitCode, exitCode, ended.stderr);
    assert.deepEqual([await at(folder), await at(copies)], [[], []]);
  }
});

test('a command that cannot write its answer does not exit with success', {
  skip: noFullDevice,
}, async () => {
  const under = ['sh', '-c', 'exec "$0" "$@" >/dev/full'];
  const ended = await palyra(['completion', 'bash'], { home: temporaryFolder(), under });
  assert.equal(ended.exitCode, 1);
  assert.match(ended.stderr, /^error: Standard output cannot be written: .*ENOSPC.*\[FILE_FAILED\]\n$/);
});
