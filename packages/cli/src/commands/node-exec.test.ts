// `palyra node exec` on a terminal, with an agent and a daemon as processes.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { DaemonProcess } from '../../../../tests/testing/daemon-process.ts';
import { makeHome, PalyraProcess, palyra } from '../../../../tests/testing/palyra-process.ts';
import { runRecorded } from '../testing/recorded-run.ts';

test('the output of a device keeps its numbers, and has no control characters on a terminal', async (t) => {
  const daemonHome = await makeHome(t);
  const daemon = await DaemonProcess.start(t, { home: daemonHome });
  const admin = await daemon.admin();
  const home = join(await makeHome(t), 'device');
  const pairing = PalyraProcess.start(
    ['pair', daemon.pairingAddress, '--code-stdin', '--kind', 'node', '--name', 'sensor'],
    { home, stdin: (await admin.mintCode({})).code },
  );
  const { request_id: id } = await pairing.line(({ event }) => event === 'words');
  await admin.approvePairing({ id });
  const { device_id: deviceId } = await pairing.line(({ event }) => event === 'paired');
  await pairing.ended;
  const agent = PalyraProcess.start(['node', 'run'], { home });
  t.after(() => agent.end('SIGKILL'));
  await agent.line(({ event }) => event === 'connected');

  const shown = async (input: string) => {
    const args = ['--home', daemonHome, 'node', 'exec', deviceId, 'echo', '--input', input];
    return (await runRecorded({ args, columns: 80 })).stdout;
  };
  assert.equal(await shown('[9007199254740993,1e999]'), '[\n  9007199254740993,\n  1e999\n]\n');
  assert.equal(await shown('{"a\u202e":"\u009b2J\\u001b[2J"}'), '{\n  "a\ufffd": "\ufffd2J\\u001b[2J"\n}\n');

  const exec = (input: string) =>
    palyra(['node', 'exec', deviceId, 'echo', '--input', input], { home: daemonHome });
  for (const input of ['{"id":9007199254740993}', '[1e999]', '"\\ud800"'])
    assert.ok((await exec(input)).stdout.startsWith(`{"output":${input},`), input);
  const { exitCode, stdout, stderr } = await exec('['.repeat(20_000) + ']'.repeat(20_000));
  assert.equal(exitCode, 1);
  assert.match(stdout + stderr, /"CAPABILITY_FAILED"/);
});
