// The copy of the registry that a backup is made from is never beside the backup, and does not stay: not after a kill, not
// after a full disk.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { mountSmallDisk } from '../../../../tests/testing/small-disk.ts';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { startDaemon } from '../start.ts';
import { backupHome } from './backup.ts';

const here = { host: '127.0.0.1', port: 0 };
const config = { pairing: here, node: here, quic: { enabled: false }, console: { enabled: false } };
const passphrase = 'correct horse battery';

const killed = `
import { writeFile } from 'node:fs/promises';
const { withRegistryCopy } = await import(process.argv[1]);
const { daemonPaths } = await import(process.argv[2]);
const [home, partial] = process.argv.slice(3);
await withRegistryCopy(daemonPaths(home), { registry: { from: 'file' } }, async (copy) => {
  await copy.announce(partial);
  await writeFile(partial, 'half a backup');
  // As SQLite leaves it in the middle of a copy.
  await writeFile(copy.path + '-journal', 'journal');
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => {});
});
`;

test('a start removes the leftovers of a killed backup: the copy of the registry, its journal, and the incomplete file', async (t) => {
  const home = join(temporaryFolder(), 'home');
  const target = temporaryFolder();
  await (await startDaemon({ home, config })).close();
  const before = await readdir(join(home, 'daemon'));
  const partial = join(target, `backup.age.${'0'.repeat(32)}.partial`);
  const module = (name: string) => new URL(name, import.meta.url).href;
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', killed, module('backup-copy.ts'), module('paths.ts'), home, partial],
    { stdio: 'inherit' },
  );
  t.after(() => child.kill('SIGKILL'));
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL']);
  assert.deepEqual(await readdir(target), [`backup.age.${'0'.repeat(32)}.partial`], 'beside the target');
  const left = await readdir(join(home, 'daemon', 'copies'), { recursive: true });
  for (const name of ['registry.sqlite', 'registry.sqlite-journal'])
    assert.ok(
      left.some((each) => each.endsWith(`/${name}`)),
      left.join(),
    );
  await (await startDaemon({ home, config })).close();
  assert.deepEqual(await readdir(target), []);
  assert.deepEqual((await readdir(join(home, 'daemon'))).sort(), before.sort());
});

test('when the disk of the home is full, a backup leaves no copy and no journal, neither there nor beside its target', async (t) => {
  const disk = await mountSmallDisk(t, 4 * 1024 * 1024);
  if (!disk) return;
  const home = join(disk.path, 'home');
  const target = temporaryFolder();
  await (await startDaemon({ home, config })).close();
  const before = await readdir(join(home, 'daemon'), { recursive: true });
  const file = join(target, 'backup.age');
  await disk.fill();
  await assert.rejects(backupHome(home, file, passphrase, { scryptLogN: 10 }), { code: 'STORE_FULL' });
  assert.deepEqual(await readdir(target), []);
  assert.deepEqual((await readdir(join(home, 'daemon'), { recursive: true })).sort(), before.sort());
  await disk.free();
  await backupHome(home, file, passphrase, { scryptLogN: 10 });
  assert.deepEqual(await readdir(target), ['backup.age']);
});

test('when the disk of the target is full, a backup leaves nothing there and no copy in the home', async (t) => {
  const disk = await mountSmallDisk(t, 64 * 1024);
  if (!disk) return;
  const home = join(temporaryFolder(), 'home');
  await (await startDaemon({ home, config })).close();
  const before = await readdir(join(home, 'daemon'), { recursive: true });
  await disk.fill();
  await assert.rejects(backupHome(home, join(disk.path, 'backup.age'), passphrase, { scryptLogN: 10 }), {
    code: 'STORE_FULL',
  });
  assert.deepEqual(await readdir(disk.path), ['filler']);
  assert.deepEqual((await readdir(join(home, 'daemon'), { recursive: true })).sort(), before.sort());
});
