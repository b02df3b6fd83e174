// Files that the store refuses. The owner checks need root, which can give a file to another user. Without root they are skipped.

import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { MAX_SECRET_BYTES } from './port.ts';
import { bytes } from './testing/secret-store-suite.ts';
import { masterKey, openStore, otherKey, temporaryFolder } from './testing/temporary-store.ts';

const needsRoot = process.geteuid?.() === 0 ? false : 'only root can give a file to another user';

/** The paths of a closed store with one secret. */
async function closedStore(t: TestContext, folderName = 'store') {
  const path = join(await temporaryFolder(t), folderName);
  const store = await openStore(t, path);
  await store.write('ca/root', bytes(40));
  await store.close();
  const generation = join(path, masterKey.id);
  const [file] = await readdir(generation);
  return { path, generation, record: join(generation, file!), lock: join(path, 'lock') };
}

for (const [what, modes] of [
  ['path', [0o750, 0o705, 0o770, 0o701]],
  ['generation', [0o750, 0o720]],
  ['record', [0o640, 0o604, 0o620]],
  ['lock', [0o644]],
] as const)
  test(`a ${what} that group or others may access is refused, with the command that corrects it`, async (t) => {
    const store = await closedStore(t, "it's a store");
    for (const mode of modes) {
      await chmod(store[what], mode);
      const error = await openStore(t, store.path).catch((thrown) => thrown);
      equal(error.code, 'STORE_PERMISSIONS');
      const [, command] = /Run: (chmod .*)$/.exec(error.message) ?? [];
      execFileSync('sh', ['-c', command!]);
      const opened = await openStore(t, store.path);
      deepEqual(await opened.read('ca/root'), bytes(40));
      await opened.close();
    }
  });

test('a record that others can access since the store was opened is refused too', async (t) => {
  const { path, record } = await closedStore(t);
  const store = await openStore(t, path);
  await chmod(record, 0o644);
  const message = new RegExp(`chmod 600 ${record}$`);
  await rejects(store.read('ca/root'), { code: 'STORE_PERMISSIONS', message });
  await rejects(store.list(), { code: 'STORE_PERMISSIONS', message });
});

for (const what of ['path', 'generation', 'record', 'lock'] as const)
  test(`a symbolic link as ${what} is refused`, async (t) => {
    const store = await closedStore(t);
    const target = join(await temporaryFolder(t), 'target');
    await rename(store[what], target);
    await symlink(target, store[what]);
    const message = /symbolic link/;
    await rejects(openStore(t, store.path), { code: 'STORE_PERMISSIONS', message });
    await rejects(openStore(t, `${store.path}/`), { code: 'STORE_PERMISSIONS', message });
  });

test('a dangling symbolic link that replaces a record while the store is open is refused', async (t) => {
  const { path, record } = await closedStore(t);
  const store = await openStore(t, path);
  await rm(record);
  await symlink('/nowhere', record);
  await rejects(store.read('ca/root'), { code: 'STORE_PERMISSIONS', message: /symbolic link/ });
  await store.write('ca/root', bytes(3));
  deepEqual(await store.read('ca/root'), bytes(3), 'a write replaces the link itself');
});

for (const what of ['path', 'generation', 'record', 'lock'] as const)
  test(`a ${what} of another user is refused, with the command that corrects it`, {
    skip: needsRoot,
  }, async (t) => {
    const store = await closedStore(t);
    await chown(store[what], 65534, 65534);
    await rejects(openStore(t, store.path), {
      code: 'STORE_PERMISSIONS',
      message: new RegExp(`chown ${process.geteuid?.()} ${store[what]}$`),
    });
  });

test('a named pipe or a folder as a record is refused without waiting', async (t) => {
  const { path, record } = await closedStore(t);
  const store = await openStore(t, path);
  await rm(record);
  execFileSync('mkfifo', ['-m', '600', record]);
  await rejects(store.read('ca/root'), { code: 'STORE_PERMISSIONS', message: /not a file/ });
  await rm(record);
  await mkdir(record, { mode: 0o700 });
  await rejects(store.read('ca/root'), { code: 'STORE_PERMISSIONS', message: /not a file/ });
});

test('a file in place of the folder is refused', async (t) => {
  const path = join(await temporaryFolder(t), 'store');
  await writeFile(path, '', { mode: 0o600 });
  await rejects(openStore(t, path), { code: 'STORE_PERMISSIONS', message: /not a folder/ });
});

test('a store that this user may not write reports it, and can still be read', async (t) => {
  const { path } = await closedStore(t);
  // Root may write anywhere, so the child gives up root.
  const child = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'testing/unwritable-store.ts'), path],
    { encoding: 'utf8' },
  );
  equal(child.stderr, '');
  match(
    child.stdout,
    /^write STORE_PERMISSIONS .*EACCES.*\ndelete STORE_PERMISSIONS .*\nread 40\nopen STORE_PERMISSIONS .*\n$/,
  );
});

test('on a full disk a write is STORE_FULL, leaves no files behind and keeps the old secret', async (t) => {
  const disk = await temporaryFolder(t);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', disk], {
    encoding: 'utf8',
  });
  if (mounted.status !== 0)
    return t.skip(`no small disk to fill: mount said "${mounted.stderr ?? mounted.error}"`);
  try {
    const path = join(disk, 'store');
    const store = await openStore(t, path);
    await store.write('ca/root', bytes(3000));
    const before = await readdir(join(path, masterKey.id));
    for (const name of ['ca/root', 'new']) {
      await rejects(store.write(name, bytes(MAX_SECRET_BYTES)), {
        code: 'STORE_FULL',
        message: /Free some space/,
      });
      deepEqual(await readdir(join(path, masterKey.id)), before);
    }
    await store.write('fill', bytes(36_000));
    const names = await store.list();
    await rejects(store.rekey({ masterKey: otherKey }), { code: 'STORE_FULL' });
    deepEqual((await readdir(path)).sort(), [masterKey.id, 'lock'].sort());
    deepEqual(await store.list(), names);
    deepEqual(await store.read('ca/root'), bytes(3000));
    await store.write('ca/root', bytes(3001));
    await store.close();
    const again = await openStore(t, path);
    deepEqual(await again.read('ca/root'), bytes(3001));
    await again.close();
  } finally {
    // A lazy unmount, because a failed assertion leaves the store open and must not be hidden by another error.
    execFileSync('umount', ['--lazy', disk]);
  }
});
