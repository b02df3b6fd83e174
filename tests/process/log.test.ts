// The log as JSON lines: on request, by level, and never with a secret.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { awaitPairing, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { run } from '../../packages/cli/src/program.ts';
import { recorded } from '../../packages/cli/src/testing/recorded-run.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { configure, makeHome, palyra } from '../testing/palyra-process.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { json, TestAgent } from '../testing/test-agent.ts';
import { longestWaitMs, until } from '../testing/until.ts';
import { wrongPin } from '../testing/wrong-code.ts';

interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

function linesOf(stderr: string): LogLine[] {
  return stderr
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const read: LogLine = JSON.parse(line);
      assert.match(read.level, /^(debug|info|warn|error)$/, line);
      assert.ok(!Number.isNaN(Date.parse(read.time)), line);
      assert.equal(typeof read.message, 'string', line);
      return read;
    });
}

test('the log of a busy day is JSON lines, and holds no secret', async (t) => {
  const home = await makeHome(t);
  const folder = join(home, 'backups');
  await mkdir(folder);
  const passphrase = `correct horse ${randomBytes(8).toString('hex')}`;
  const webhookSecret = randomBytes(32).toString('base64');
  const [passphraseFile, secretFile] = [join(home, 'passphrase'), join(home, 'webhook-secret')];
  await writeFile(passphraseFile, passphrase, { mode: 0o600 });
  await writeFile(secretFile, webhookSecret, { mode: 0o600 });
  await configure(home, {
    log: { level: 'debug' },
    console: { enabled: true, port: 0 },
    limits: { opensPerMinutePerSource: 1_000 },
    backup: { folder, passphraseFile },
    // Nobody answers there, so that the failure is logged too.
    notice: { webhook: { url: 'http://127.0.0.1:9/hook?token=query-secret', secretFile } },
  });
  const daemon = await DaemonProcess.start(t, { home });
  const admin = await daemon.admin();
  const secrets = [passphrase, webhookSecret, 'query-secret', 'PRIVATE KEY'];

  const device = await makeDevice();
  const { code } = await admin.mintCode({});
  const { code: qr } = await admin.mintCode({ qr: true });
  await expectCode(
    requestPairing(await makeDevice(), await daemon.peer(), wrongPin(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  const pending = await requestPairing(
    device,
    await daemon.peer(),
    parsePairingCode(code),
    daemon.pairingAddress,
  );
  await admin.approvePairing({ id: pending.requestId });
  const enrollment = await awaitPairing(device, await daemon.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
  const [slot = '', pin = ''] = code.split('-');
  secrets.push(pin, `${slot}${pin}`, qr, new URL(qr).searchParams.get('s') ?? qr);
  const agent = new TestAgent(t, device, enrollment, {
    transport: 'http2',
    capabilities: { 'my-own': async () => json('output-secret') },
  });
  await agent.connected();
  const { id } = device.identity;
  await until('the capability', async () =>
    (await admin.getDevice({ id })).device?.capabilities.includes('my-own'),
  );
  await admin.executeCapability({ deviceId: id, capability: 'my-own', input: json('input-secret') });
  await expectCode(admin.executeCapability({ deviceId: id, capability: 'none' }), 'CAPABILITY_UNKNOWN');
  secrets.push('input-secret', 'output-secret');
  const { url } = await admin.createConsoleLogin({});
  secrets.push(url, new URL(url).hash.slice(1) || new URL(url).search);
  await until('the backup', async () => (await admin.getStatus({})).backup?.lastAtMs !== undefined);
  await admin.revokeDevice({ id, reason: 'sold' });
  await agent.ended;
  const { stderr } = await daemon.stop();

  const lines = linesOf(stderr);
  const said = (message: string) => lines.filter((line) => line.message === message);
  assert.equal(said('started')[0]?.level, 'info');
  assert.equal(said('started')[0]?.daemon, daemon.daemonId);
  assert.equal(said('stopped').length, 1);
  assert.equal(said('backup made').length, 1);
  assert.deepEqual(
    said('device revoked').map(({ level, device_id, reason }) => [level, device_id, reason]),
    [['warn', id, 'sold']],
  );
  assert.ok(said('pairing changed').some(({ state, device: of }) => state === 'approved' && of === id));
  const failed = said('call').find(({ outcome }) => outcome === 'CAPABILITY_UNKNOWN');
  assert.deepEqual([failed?.level, failed?.caller], ['info', 'operator']);
  assert.ok(said('call').some(({ level, transport }) => level === 'debug' && transport === 'http2'));

  const masterKey = await readFile(join(home, 'daemon', 'master.key'));
  for (const encoding of ['hex', 'base64', 'base64url', 'latin1'] as const)
    secrets.push(masterKey.toString(encoding));
  for (const secret of secrets) {
    assert.ok(secret.length >= 6, `${secret} is too short to look for`);
    assert.ok(!stderr.includes(secret), `the log holds ${secret}`);
  }
});

test('without a request there is no log, and --log gives its lines from a level on, in place of text', async (t) => {
  const home = await makeHome(t);
  await configure(home, {});
  const daemon = async (...args: string[]) => {
    const stop = new AbortController();
    const { invocation, stdout, stderr } = recorded({
      args: ['daemon', '--no-code', '--home', home, ...args],
      interrupted: stop.signal,
    });
    const ended = run(invocation);
    await until('the daemon', async () => (await palyra(['status'], { home })).exitCode === 0);
    stop.abort();
    assert.equal(await ended, 0);
    return { stdout: stdout(), stderr: stderr() };
  };
  const plain = await daemon();
  assert.match(plain.stdout, /The Palyra daemon is running/);
  assert.doesNotMatch(plain.stderr, /^\{/m);
  const info = await daemon('--log', 'info');
  assert.equal(info.stdout, '');
  assert.deepEqual(
    linesOf(info.stderr).map(({ level, message }) => [level, message]),
    [
      ['info', 'started'],
      ['info', 'stopping'],
      ['info', 'stopped'],
    ],
  );
  assert.equal((await daemon('--log', 'error')).stderr, '');
});
