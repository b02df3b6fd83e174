import { deepEqual, equal, notEqual, rejects } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { masterKeyFromFile, nextMasterKeyForFile } from './key-file.ts';
import { bytes } from './testing/secret-store-suite.ts';
import { masterKey, temporaryFolder } from './testing/temporary-store.ts';

test('creates 32 bytes with mode 0600 at first use, and returns the same key from then on', async (t) => {
  const folder = join(await temporaryFolder(t), 'not', 'there');
  const path = join(folder, 'master-key');
  const key = await masterKeyFromFile({ path });
  equal((await stat(path)).mode & 0o777, 0o600);
  equal((await stat(folder)).mode & 0o777, 0o700);
  equal((await readFile(path)).length, 32);
  equal((await masterKeyFromFile({ path })).id, key.id);
  deepEqual(await readdir(folder), ['master-key']);
  notEqual((await masterKeyFromFile({ path: join(folder, 'other') })).id, key.id);
});

test('returns the key in the file', async (t) => {
  const path = join(await temporaryFolder(t), 'key');
  await writeFile(path, bytes(32), { mode: 0o600 });
  equal((await masterKeyFromFile({ path })).id, masterKey.id);
});

test('simultaneous first uses all get the same key', async (t) => {
  const path = join(await temporaryFolder(t), 'keys', 'master');
  const program = `
    const { masterKeyFromFile } = await import(${JSON.stringify(join(import.meta.dirname, 'key-file.ts'))});
    const keys = await Promise.all([1, 2, 3, 4].map(() => masterKeyFromFile({ path: ${JSON.stringify(path)} })));
    console.log(keys.map((key) => key.id).join('\\n'));`;
  const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  const outputs = await Promise.all([run(), run(), run(), run()]);
  const ids = outputs.flatMap(({ stdout }) => stdout.trim().split('\n'));
  equal(ids.length, 16);
  deepEqual([...new Set(ids)], [(await masterKeyFromFile({ path })).id]);
  deepEqual(await readdir(join(path, '..')), ['master']);
});

test('refuses a file that group or others may access, with the command that corrects it', async (t) => {
  const path = join(await temporaryFolder(t), 'key');
  await writeFile(path, bytes(32));
  for (const mode of [0o640, 0o604, 0o620, 0o644]) {
    await chmod(path, mode);
    await rejects(masterKeyFromFile({ path }), {
      code: 'STORE_PERMISSIONS',
      message: new RegExp(`chmod 600 ${path}$`),
    });
  }
  await chmod(path, 0o600);
  equal((await masterKeyFromFile({ path })).id, masterKey.id);
});

test('refuses a symbolic link, to a key or to nothing, and does not create its target', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'key');
  await masterKeyFromFile({ path });
  await rename(path, join(folder, 'real'));
  await symlink(join(folder, 'real'), path);
  await symlink(join(folder, 'nowhere'), join(folder, 'dangling'));
  for (const link of ['key', 'dangling'])
    await rejects(masterKeyFromFile({ path: join(folder, link) }), {
      code: 'STORE_PERMISSIONS',
      message: /symbolic link/,
    });
  deepEqual((await readdir(folder)).sort(), ['dangling', 'key', 'real']);
});

test('refuses the file of another user', {
  skip: process.geteuid?.() === 0 ? false : 'only root can give a file to another user',
}, async (t) => {
  const path = join(await temporaryFolder(t), 'key');
  await masterKeyFromFile({ path });
  await chown(path, 65534, 65534);
  await rejects(masterKeyFromFile({ path }), { code: 'STORE_PERMISSIONS', message: /chown/ });
});

test('refuses a wrong length, and a folder', async (t) => {
  const path = join(await temporaryFolder(t), 'key');
  for (const length of [0, 31, 33, 5000]) {
    await writeFile(path, new Uint8Array(length), { mode: 0o600 });
    await rejects(masterKeyFromFile({ path }), {
      code: 'MASTER_KEY_WRONG',
      message: /Restore it from a backup/,
    });
  }
  await mkdir(`${path}.folder`, { mode: 0o700 });
  await rejects(masterKeyFromFile({ path: `${path}.folder` }), { code: 'STORE_PERMISSIONS' });
});

test('the next key is in the file only once it is installed, and files left by a crash are removed', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'key');
  const first = await masterKeyFromFile({ path });
  await writeFile(`${path}.0123456789abcdef.tmp`, bytes(32), { mode: 0o600 });
  await writeFile(join(folder, 'other.0123456789abcdef.tmp'), 'not ours');
  const next = nextMasterKeyForFile({ path });
  equal((await masterKeyFromFile({ path })).id, first.id);
  await next.install?.();
  equal((await masterKeyFromFile({ path })).id, next.masterKey.id);
  equal((await stat(path)).mode & 0o777, 0o600);
  deepEqual((await readdir(folder)).sort(), ['key', 'other.0123456789abcdef.tmp']);
});
