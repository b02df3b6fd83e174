// `npm run tour -- --json`, and its end when it fails or is interrupted.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const names = [
  'start',
  'mint',
  'pair',
  'words equal on both sides',
  'approve',
  'first mTLS call',
  'the same call over QUIC',
  'a renewal under a live connection',
  'a capability run on the device',
  'a call without a certificate refused',
  'a wrong code refused',
  'revoke',
  'the revoked device refused',
  'a recovery of an expired device',
];

interface Report {
  readonly ok: boolean;
  readonly steps: readonly { name: string; ok: boolean; ms: number; error?: string }[];
}

test('every step of the tour passes, each with its time, and nothing stays behind', async (t) => {
  const folder = temporaryFolder();
  const { exitCode, stdout, stderr } = await ended(startTour(t, folder, '--json'));
  assert.equal(exitCode, 0, `${stdout}${stderr}`);
  assert.equal(stderr, '');
  assert.match(stdout, /^\{.*\}\n$/, 'one line of JSON and nothing else');
  const { ok, steps } = JSON.parse(stdout) as Report;
  assert.equal(ok, true);
  for (const name of names)
    assert.ok(
      steps.some((step) => step.name === name),
      name,
    );
  for (const step of steps) {
    assert.deepEqual(Object.keys(step).sort(), ['ms', 'name', 'ok']);
    assert.equal(step.ok, true, step.name);
    assert.ok(step.ms > 0, step.name);
  }
  assert.deepEqual(await readdir(folder), []);
});

test('a tour that cannot be played says which step failed and why, and fails', async (t) => {
  // This path is too long for the admin socket.
  const folder = temporaryFolder();
  const deep = join(folder, 'x'.repeat(90));
  await mkdir(deep);
  const { exitCode, stdout } = await ended(startTour(t, deep, '--json'));
  assert.equal(exitCode, 1);
  const { ok, steps } = JSON.parse(stdout) as Report;
  assert.equal(ok, false);
  const [start, ...others] = steps;
  assert.equal(start?.ok, false);
  assert.match(start.error!, /path of the admin socket is longer/);
  for (const { ok, error } of others) {
    assert.equal(ok, false);
    assert.match(error!, /not played, because "start" failed/);
  }
  assert.deepEqual(await readdir(deep), []);
});

test('Ctrl-C in the middle of the tour ends its processes and removes its folder', async (t) => {
  const folder = temporaryFolder();
  const tour = startTour(t, folder);
  for await (const text of tour.stdout!) if (String(text).includes('mint')) break;
  tour.kill('SIGINT');
  const [exitCode] = await once(tour, 'exit');
  assert.equal(exitCode, 130);
  assert.deepEqual(await readdir(folder), []);
});

function startTour(t: TestContext, folder: string, ...words: string[]): ChildProcess {
  const program = join(import.meta.dirname, '../../scripts/tour.ts');
  const tour = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  });
  t.after(() => tour.kill('SIGKILL'));
  return tour;
}

async function ended(tour: ChildProcess): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const [stdout, stderr, [exitCode]] = await Promise.all([
    textOf(tour.stdout!),
    textOf(tour.stderr!),
    once(tour, 'close'),
  ]);
  return { exitCode, stdout, stderr };
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}
