// `palyra daemon` as a process, with real signals.

import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { palyraProgram as bin } from '../../../../tests/testing/palyra-process.ts';
import { runRecorded, temporaryFolder } from '../testing/recorded-run.ts';

const anyPort = { host: '127.0.0.1', port: 0 };

/** Starts the daemon and reads its output up to the matching line. */
async function startDaemon(t: TestContext, options: readonly string[], until: RegExp) {
  const folder = await temporaryFolder(t);
  const home = join(folder, 'home');
  const config = join(folder, 'config.json');
  const listeners = { pairing: anyPort, node: anyPort, quic: anyPort, console: { port: 0 } };
  await writeFile(config, JSON.stringify(listeners));
  const args = [bin, 'daemon', '--home', home, '--config', config, ...options];
  const daemon: ChildProcessWithoutNullStreams = spawn(process.execPath, args);
  t.after(() => daemon.kill('SIGKILL'));
  daemon.stderr.pipe(process.stderr);
  const lines: string[] = [];
  const ended = once(daemon, 'exit');
  const ready = Promise.withResolvers<void>();
  createInterface(daemon.stdout).on('line', (line) => {
    lines.push(line);
    if (until.test(line)) ready.resolve();
  });
  ended.then(() => ready.reject(new Error(`the daemon ended: ${lines.join('\n')}`)));
  await ready.promise;
  return { daemon, home, lines, ended };
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} stops the daemon cleanly with 0, also when npm forwards the signal again`, async (t) => {
    const { daemon, lines, ended } = await startDaemon(t, ['--json'], /"ready"/);
    daemon.kill(signal);
    daemon.kill(signal);
    assert.deepEqual(await ended, [0, null]);
    assert.deepEqual(JSON.parse(lines.at(-1)!), { event: 'stopped' });
  });
}

test('the daemon shows its listeners, a code, the QR code and the commands that use it', async (t) => {
  const { home, lines } = await startDaemon(t, [], /from another machine|palyra pairing approve/i);
  const { stdout } = await runRecorded({ args: ['status', '--json', '--home', home] });
  const status = JSON.parse(stdout);
  const shown = lines.join('\n');
  for (const part of [
    status.trust_domain,
    status.root_fingerprint,
    join(home, 'daemon', 'admin.sock'),
    '█▀▀',
  ]) {
    assert.ok(shown.includes(part), `${part} in\n${shown}`);
  }
  assert.match(shown, /│ {3}\d{3}-\d{6} {3}│/);
  const address = status.listeners.find((each: { name: string }) => each.name === 'pairing').address;
  for (const command of [`pair ${address}`, 'pairing list', 'pairing approve']) {
    assert.ok(shown.includes(`palyra ${command} --home ${home}`), `${command} in\n${shown}`);
  }
  assert.equal(status.live_codes, 2);
});

test('with --no-code the daemon makes no code, and --json never shows one', async (t) => {
  for (const options of [['--no-code'], ['--json']]) {
    const { daemon, lines, ended } = await startDaemon(t, options, /admin/);
    // All of its output arrives before it ends.
    daemon.kill('SIGTERM');
    await ended;
    assert.doesNotMatch(lines.join('\n'), /\d{3}-\d{6}/);
  }
});

test('a second daemon on the same home ends with 4 and names the first', async (t) => {
  const { daemon, home } = await startDaemon(t, ['--json'], /"ready"/);
  const { exitCode, stdout } = await runRecorded({ args: ['daemon', '--json', '--home', home] });
  assert.equal(exitCode, 4);
  const { error } = JSON.parse(stdout);
  assert.equal(error.code, 'HOME_IN_USE');
  assert.match(error.message, new RegExp(`process id ${daemon.pid}`));
});

test('--check reports every problem, starts nothing, and ends with 0 if there is no problem', async (t) => {
  const folder = await temporaryFolder(t);
  const config = join(folder, 'config.json');
  const args = ['daemon', '--check', '--home', join(folder, 'home'), '--config', config];
  const foreign = { host: '203.0.113.7', port: 0 };
  await writeFile(config, JSON.stringify({ pairing: foreign, node: foreign, quic: { enabled: false } }));
  const wrong = await runRecorded({ args });
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.stdout, /PROBLEM .*pairing\.host.*PROBLEM .*node\.host/s);
  // `caKey` and `notice.webhook` each lack a required field and are dropped. The rest of the file still counts.
  const halves = {
    caKey: { modul: '/usr/lib/x.so', token: 'palyra', pinFile: 'pin' },
    notice: { webhook: {} },
  };
  await writeFile(config, JSON.stringify({ ...halves, pairing: foreign, node: anyPort, quic: anyPort }));
  const half = await runRecorded({ args });
  assert.match(half.stdout, /caKey\.modul: .*no such setting.*PROBLEM .*pairing\.host/s);
  const noFiles = { caKey: { module: join(folder, 'x.so'), token: 'palyra', pinFile: join(folder, 'pin') } };
  await writeFile(config, JSON.stringify({ ...noFiles, pairing: anyPort, node: anyPort, quic: anyPort }));
  const { stdout } = await runRecorded({ args });
  assert.deepEqual(stdout.match(/x\.so|pin does not exist/g), ['x.so', 'pin does not exist']);
  await writeFile(config, JSON.stringify({ pairing: anyPort, node: anyPort, quic: anyPort }));
  const right = await runRecorded({ args });
  assert.equal(right.exitCode, 0, right.stdout);
  assert.deepEqual(await readdir(folder), ['config.json']);
});

test('the message for a configuration that is not JSON names the file', async (t) => {
  const folder = await temporaryFolder(t);
  const config = join(folder, 'config.json');
  await writeFile(config, '{"pairing":');
  const args = ['daemon', '--home', join(folder, 'home'), '--config', config];
  const { exitCode, stderr } = await runRecorded({ args });
  assert.equal(exitCode, 2);
  assert.ok(stderr.includes(config) && stderr.includes('[MESSAGE_INVALID]'), stderr);
});
