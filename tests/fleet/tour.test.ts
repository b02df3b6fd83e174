// `npm run tour -- --fleet --json`.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { missingPostgres } from '../testing/postgres.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

test('every step of the tour of a fleet passes, and nothing stays behind', {
  skip: missingPostgres,
}, async (t) => {
  const folder = temporaryFolder();
  const program = join(import.meta.dirname, '../../scripts/tour.ts');
  const words = ['--disable-warning=ExperimentalWarning', program, '--fleet', '--json'];
  const tour = spawn(process.execPath, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  t.after(() => tour.kill('SIGKILL'));
  let text = '';
  tour.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const [exitCode] = await once(tour, 'close');
  assert.equal(exitCode, 0, text);
  const { steps } = JSON.parse(text) as { steps: { name: string; ok: boolean; ms: number }[] };
  assert.deepEqual(
    steps.map(({ name }) => name),
    [
      'PostgreSQL starts',
      'three daemons start at the same moment',
      'pair at one daemon, approve at another',
      'the device connects',
      'a capability run asked at another daemon',
      'that daemon is killed, and the device is back at another one',
      'a revocation at one daemon holds at the other one',
      'the killed daemon returns, and refuses the device as well',
      'one audit for all of them',
    ],
  );
  for (const { name, ok, ms } of steps) assert.ok(ok && ms > 0, name);
  assert.deepEqual(await readdir(folder), []);
});
