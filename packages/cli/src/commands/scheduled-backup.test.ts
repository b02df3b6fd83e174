import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { TestDaemon } from '../../../../tests/testing/running-daemon.ts';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { until } from '../../../../tests/testing/until.ts';
import { runRecorded } from '../testing/recorded-run.ts';

test('status tells of the scheduled backup, and restore takes its identity file', async (t) => {
  const [folder, keys] = [temporaryFolder(), join(temporaryFolder(), 'key.txt')];
  const identity = await generateIdentity();
  await writeFile(keys, `${identity}\n`, { mode: 0o600 });
  const daemon = await TestDaemon.start(t, {
    backup: { folder, recipients: [await identityToRecipient(identity)] },
  });
  const status = async (...more: string[]) =>
    (await runRecorded({ args: ['status', '--home', daemon.home, ...more] })).stdout;
  assert.match(await status(), /last backup +none yet in \//);
  await daemon.running.tick();
  await until('the backup', async () => JSON.parse(await status('--json')).backup.last_at !== null);
  assert.match(await status(), /last backup +\S.* MiB, in \//);
  assert.ok(JSON.parse(await status('--json')).backup.last_bytes > 1000);
  await daemon.stop();

  const file = join(folder, (await readdir(folder))[0]!);
  const restore = (...args: string[]) =>
    runRecorded({ args: ['restore', file, '--none-revoked', '--home', join(folder, 'home'), ...args] });
  const both = await restore('--identity-file', keys, '--passphrase-file', keys);
  assert.deepEqual([both.exitCode, /not both/.test(both.stderr)], [2, true]);
  const restored = await restore('--identity-file', keys);
  assert.equal(restored.exitCode, 0, restored.stderr);
  assert.match(restored.stdout, /^Restored palyra-/);
});
