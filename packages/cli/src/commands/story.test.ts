// Runs the commands against a real daemon in this process, over real sockets and files.

import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RunningDaemon, startDaemon } from '@palyra/daemon';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { until } from '../../../../tests/testing/until.ts';
import { CliError } from '../failure.ts';
import { run } from '../program.ts';
import { type RecordedOptions, recorded, runRecorded } from '../testing/recorded-run.ts';

let folder: string;
let home: string;
let daemon: RunningDaemon;

const start = (pairingPort: number) =>
  startDaemon({
    home,
    config: {
      pairing: { host: '127.0.0.1', port: pairingPort },
      node: { host: '127.0.0.1', port: 0 },
      limits: { opensPerMinutePerSource: 1000 },
    },
  });

before(async () => {
  folder = temporaryFolder();
  home = join(folder, 'daemon-home');
  daemon = await start(0);
});
after(async () => {
  await daemon.close();
});

// biome-ignore lint/suspicious/noExplicitAny: whatever JSON a command answered.
type Json = any;

/** Runs a command with --json. @returns its exit code and its lines. */
async function palyra(line: string, options: RecordedOptions & { at?: string } = {}) {
  const args = [...line.split(' '), '--json', '--home', options.at ?? home];
  const { exitCode, stdout, stderr } = await runRecorded({ ...options, args });
  assert.equal(stderr, '');
  const lines: Json[] = stdout
    .trim()
    .split('\n')
    .map((each) => JSON.parse(each));
  return { exitCode, lines, last: lines.at(-1) };
}

/** Starts `pair` in a new device home, and waits for its words. */
async function startPairing(
  name: string,
  code: string,
  more: readonly string[] = [],
  interrupted?: AbortSignal,
) {
  const at = join(folder, name);
  const { invocation, stdout, firstLine } = recorded({
    args: ['pair', daemon.pairingAddress, '--code-stdin', '--json', '--home', at, '--name', name, ...more],
    input: `${code}\n`,
    ...(interrupted && { interrupted }),
  });
  const done = run(invocation);
  const words: Json = JSON.parse(await firstLine);
  return {
    at,
    words,
    finish: async () => ({
      exitCode: await done,
      last: JSON.parse(stdout().trim().split('\n').at(-1)!) as Json,
    }),
  };
}

async function mint(): Promise<string> {
  const { last } = await palyra('pairing code');
  assert.match(last.code, /^\d{3}-\d{6}$/);
  return last.code;
}

test('pair, compare, approve, call, revoke: each command reports its outcome', async () => {
  const device = await startPairing('laptop', await mint());
  const request = (await palyra('pairing list')).last.pairings.find(
    (each: Json) => each.state === 'pending_approval',
  );
  assert.equal(request.id, device.words.request_id);
  assert.equal(request.device.words, device.words.words);
  assert.equal(request.device.name, 'laptop');
  assert.equal(request.device.platform, 'linux-x64 node-24.21');

  const unnamed = await palyra("pairing approve --operator --name mum's");
  assert.equal(unnamed.last.error.code, 'NO_TERMINAL');
  const { message } = unnamed.last.error;
  assert.match(message, /pairing approve \w+ --operator --name 'mum'\\''s' --home /);

  const approved = await palyra(`pairing approve ${request.id.slice(-6)}`);
  assert.equal(approved.last.state, 'approved');
  const { exitCode, last: paired } = await device.finish();
  assert.equal(exitCode, 0);
  assert.equal(paired.event, 'paired');
  assert.equal(paired.daemon_id, daemon.daemonId);

  const status = await palyra('node status', { at: device.at });
  assert.equal(status.exitCode, 0);
  assert.equal(status.last.device_id, paired.device_id);
  const decimal = BigInt(`0x${status.last.serial}`).toString();
  for (const serial of [status.last.serial, `serial=${status.last.serial.toUpperCase()}`, decimal]) {
    assert.equal((await palyra(`why ${serial}`)).last.decision, 'allowed');
    assert.ok((await palyra(`audit list --subject ${serial}`)).last.entries.length > 0, serial);
  }
  assert.equal((await palyra(`pairing show ${request.id}`)).last.state, 'active');

  assert.equal((await palyra(`devices rename ${paired.device_id} box`)).last.name, 'box');
  const unsure = await palyra(`devices revoke ${paired.device_id.slice(-8)}`);
  assert.equal(unsure.exitCode, 2);
  assert.equal(unsure.last.error.code, 'NO_TERMINAL');
  const revoked = await palyra(`devices revoke ${paired.device_id.slice(-8)} --yes --reason lost`);
  assert.equal(revoked.last.state, 'revoked');
  const refused = await palyra('node status', { at: device.at });
  assert.equal(refused.exitCode, 3);
  assert.equal(refused.last.error.code, 'DEVICE_REVOKED');
  assert.equal((await palyra(`why ${paired.device_id}`)).last.code, 'DEVICE_REVOKED');

  const again = await startPairing('laptop', await mint(), ['--new-identity']);
  await palyra(`pairing approve ${again.words.request_id}`);
  const { last: renewed } = await again.finish();
  assert.notEqual(renewed.device_id, paired.device_id);
  assert.equal((await palyra('node status', { at: again.at })).last.device_id, renewed.device_id);
});

test('two devices may have the same name, with a note, and a name is not a reference', async () => {
  const inWords = async (...args: string[]) => {
    const { stdout, stderr } = await runRecorded({ args: [...args, '--home', home] });
    return stdout + stderr;
  };
  const pairAs = async (name: string) => {
    const device = await startPairing(name, await mint());
    const approved = await inWords('pairing', 'approve', device.words.request_id, '--name', 'twin');
    return { id: (await device.finish()).last.device_id as string, approved };
  };
  const first = await pairAs('one');
  assert.doesNotMatch(first.approved, /Another device/);
  const second = await pairAs('two');
  assert.ok(second.approved.includes(`Another device is also called twin: ${first.id}\n`));
  assert.match(await inWords('why', 'twin'), /Use the id: the 2 devices called twin have /);
  assert.doesNotMatch(await inWords('devices', 'rename', second.id, 'other'), /Another device/);
  const renamed = await inWords('devices', 'rename', second.id, 'twin');
  assert.ok(renamed.includes(`Another device is also called twin: ${first.id}\n`));
  const revoked = await inWords('devices', 'revoke', first.id, '--yes');
  const again = await inWords('devices', 'revoke', first.id, '--yes', '--reason', 'another');
  assert.match(again, /was already revoked.*Nothing was changed/);
  assert.ok(revoked.includes(`twin (${first.id.slice(-8)}) is revoked.`));
  assert.doesNotMatch(await inWords('devices', 'rename', second.id, 'twin'), /Another device/);
});

test('a rejected device is told the reason, ends with 3 and can ask again', async () => {
  const device = await startPairing('stranger', await mint());
  await palyra(`pairing reject ${device.words.request_id} --reason unknown`);
  const { exitCode, last } = await device.finish();
  assert.equal(exitCode, 3);
  assert.equal(last.error.code, 'PAIRING_REJECTED');
  assert.match(last.error.message, /unknown/);
  const late = await palyra(`pairing approve ${device.words.request_id}`);
  assert.equal(late.exitCode, 4);
  assert.equal(late.last.error.code, 'PAIRING_STATE_CONFLICT');
  const next = await startPairing('stranger', await mint());
  assert.notEqual(next.words.request_id, device.words.request_id);
  await palyra(`pairing reject ${next.words.request_id}`);
  await next.finish();
});

test('a wrong code ends with 3, and the device has stored nothing except its attempts', async () => {
  const [slot, pin] = (await mint()).split('-') as [string, string];
  const wrong = `${slot}-${pin === '000000' ? '000001' : '000000'}`;
  const device = await startPairing('guesser', wrong);
  const { exitCode, last } = await device.finish();
  assert.equal(exitCode, 3);
  assert.equal(last.error.code, 'DAEMON_NOT_AUTHENTICATED');
  const [generation] = (await readdir(join(device.at, 'device', 'secrets'))).filter(
    (each) => each !== 'lock',
  );
  const stored = await readdir(join(device.at, 'device', 'secrets', generation!));
  assert.equal(stored.length, 1, 'the attempts with this code');
});

test('an interrupted wait resumes without a code, also after a restart of the daemon', async () => {
  const interruption = new AbortController();
  const device = await startPairing('sleeper', await mint(), [], interruption.signal);
  interruption.abort(new CliError('INTERRUPTED', 'Interrupted.'));
  const { exitCode, last } = await device.finish();
  assert.equal(exitCode, 130);
  assert.equal(last.error.code, 'INTERRUPTED');
  assert.match(last.error.message, /To resume it: palyra pair 127\.0\.0\.1:\d+ --home /);

  const resumed = await startPairing('sleeper', 'not even a code');
  assert.deepEqual(resumed.words, device.words);
  const port = Number(daemon.pairingAddress.split(':')[1]);
  await daemon.close();
  daemon = await start(port);
  await palyra(`pairing approve ${device.words.request_id}`);
  assert.equal((await resumed.finish()).last.event, 'paired');
  const node = daemon.listeners.find(({ name }) => name === 'node')!.address;
  assert.equal((await palyra('node status', { at: device.at })).last.address, node);
  const elsewhere = await palyra('node status --address 127.0.0.1:1', { at: device.at });
  assert.equal(elsewhere.exitCode, 7);
  assert.equal(elsewhere.last.error.code, 'UNREACHABLE');
});

test('--timeout ends the wait with 5 and keeps the request', async () => {
  const device = await startPairing('patient', await mint(), ['--timeout', '1s']);
  const { exitCode, last } = await device.finish();
  assert.equal(exitCode, 5);
  assert.equal(last.error.code, 'TIMED_OUT');
  assert.equal((await palyra(`pairing show ${device.words.request_id}`)).last.state, 'pending_approval');
  await palyra(`pairing reject ${device.words.request_id}`);
});

test('the operator writes a QR code to a file, and the device reads code and address from it', async () => {
  const { stdout } = await runRecorded({ args: ['pairing', 'code', '--qr', '--home', home] });
  assert.match(stdout, /^palyra:pair\?\S+\n$/);
  const file = join(folder, 'uri.txt');
  await writeFile(file, stdout);
  const at = join(folder, 'scanner');
  const waiting = palyra(`pair --qr ${file} --timeout 20s`, { at });
  const approving = (async () => {
    const request = await until('a request', async () => {
      const { last } = await palyra('pairing list');
      return last.pairings.find((each: Json) => each.state === 'pending_approval') as Json | undefined;
    });
    return palyra(`pairing approve ${request.id}`);
  })();
  assert.equal((await waiting).last.event, 'paired');
  assert.equal((await approving).exitCode, 0);
});

test('after all this the audit chain is intact, and the CA can be exported', async () => {
  const verdict = await palyra('audit verify');
  assert.equal(verdict.exitCode, 0);
  assert.equal(verdict.last.ok, true);
  const { last } = await palyra('audit list --limit 1000');
  assert.equal(last.entries.length, verdict.last.rows);
  const ca = await palyra('ca export');
  assert.deepEqual(ca.last.fingerprints, [daemon.rootFingerprint]);
  assert.match(ca.last.pem, /^-----BEGIN CERTIFICATE-----\n/);
  assert.equal((await palyra('status')).last.root_fingerprint, daemon.rootFingerprint);
});
