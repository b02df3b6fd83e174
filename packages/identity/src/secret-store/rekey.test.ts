import { deepEqual, equal, rejects } from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { FilesystemSecretStore } from './filesystem.ts';
import { masterKeyFromFile, nextMasterKeyForFile } from './key-file.ts';
import { masterKeyFromPassphrase, nextMasterKeyForPassphrase } from './passphrase.ts';
import { bytes } from './testing/secret-store-suite.ts';
import { masterKey, openStore, otherKey, temporaryFolder } from './testing/temporary-store.ts';

async function storeWithSome(t: TestContext) {
  const path = join(await temporaryFolder(t), 'store');
  const store = await openStore(t, path);
  for (const name of ['a', 'b/c', 'empty']) await store.write(name, bytes(name === 'empty' ? 0 : 50));
  return { path, store };
}

test('after a rekey the new key opens everything, and the old key nothing', async (t) => {
  const { path, store } = await storeWithSome(t);
  await store.rekey({ masterKey: otherKey });
  deepEqual(await store.read('b/c'), bytes(50));
  await store.write('later', bytes(7));
  await store.close();
  deepEqual((await readdir(path)).sort(), [otherKey.id, 'lock'].sort());
  await rejects(openStore(t, path), { code: 'MASTER_KEY_WRONG' });
  const again = await openStore(t, path, otherKey);
  deepEqual(await again.list(), ['a', 'b/c', 'empty', 'later']);
  for (const [name, size] of [
    ['a', 50],
    ['b/c', 50],
    ['empty', 0],
    ['later', 7],
  ] as const)
    deepEqual(await again.read(name), bytes(size));
});

test('the key file changes with the store, and a store can move from key file to passphrase and to another passphrase', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'store');
  const keyFile = { path: join(folder, 'master-key') };
  const store = await openStore(t, path, await masterKeyFromFile(keyFile));
  await store.write('a', bytes(50));
  await store.rekey(nextMasterKeyForFile(keyFile));
  await store.close();
  const second = await openStore(t, path, await masterKeyFromFile(keyFile));
  deepEqual(await second.read('a'), bytes(50));

  const first = { storePath: path, passphrase: 'correct horse battery', cost: { logN: 15, p: 1 } };
  await second.rekey(await nextMasterKeyForPassphrase(first));
  await second.close();
  await rejects(openStore(t, path, await masterKeyFromFile(keyFile)), { code: 'MASTER_KEY_WRONG' });
  const third = await openStore(t, path, await masterKeyFromPassphrase(first));
  deepEqual(await third.read('a'), bytes(50));

  const next = { storePath: path, passphrase: 'battery staple correct', cost: { logN: 15, p: 1 } };
  await third.rekey(await nextMasterKeyForPassphrase(next));
  await third.close();
  await rejects(masterKeyFromPassphrase(first), { code: 'MASTER_KEY_WRONG' });
  const fourth = await openStore(t, path, await masterKeyFromPassphrase(next));
  deepEqual(await fourth.read('a'), bytes(50));
});

test('requests during a rekey wait for its end and are not lost', async (t) => {
  const { store } = await storeWithSome(t);
  const rekey = store.rekey({ masterKey: otherKey });
  const write = store.write('during', bytes(9));
  const read = store.read('a');
  await Promise.all([rekey, write]);
  deepEqual(await read, bytes(50));
  deepEqual(await store.read('during'), bytes(9));
});

test('a rekey is HOME_IN_USE while another process has the store open, and changes nothing', async (t) => {
  const { path, store } = await storeWithSome(t);
  const second = await openStore(t, path);
  await rejects(store.rekey({ masterKey: otherKey }), { code: 'HOME_IN_USE' });
  await second.write('d', bytes(4));
  deepEqual(await store.read('d'), bytes(4));
  await second.close();
  await store.rekey({ masterKey: otherKey });
  deepEqual(await store.read('d'), bytes(4));
});

test('an open during a rekey waits, and then needs the new key', async (t) => {
  const { path, store } = await storeWithSome(t);
  const opening: Promise<FilesystemSecretStore>[] = [];
  await store.rekey({
    masterKey: otherKey,
    install: async () => {
      opening.push(openStore(t, path), openStore(t, path, otherKey));
      for (const open of opening) open.catch(() => {});
    },
  });
  await rejects(opening[0]!, { code: 'MASTER_KEY_WRONG' });
  deepEqual(await (await opening[1]!).read('a'), bytes(50));
});

test('an unreadable record stops the rekey before anything changes', async (t) => {
  const { path, store } = await storeWithSome(t);
  const [file] = await readdir(join(path, masterKey.id));
  await writeFile(join(path, masterKey.id, file!), 'damaged');
  let installed = false;
  const install = async () => {
    installed = true;
  };
  await rejects(store.rekey({ masterKey: otherKey, install }), { code: 'SECRET_CORRUPT' });
  equal(installed, false);
  deepEqual((await readdir(path)).sort(), [masterKey.id, 'lock'].sort());
  await store.write('works', bytes(1));
});

test('when the new key cannot be installed, the store must be reopened, and nothing is lost', async (t) => {
  const { path, store } = await storeWithSome(t);
  const cause = new Error('the disk went away');
  await rejects(store.rekey({ masterKey: otherKey, install: () => Promise.reject(cause) }), {
    code: 'STORE_FAILED',
    cause,
  });
  await rejects(store.write('a', bytes(1)), { code: 'STORE_FAILED' });
  await store.close();
  const again = await openStore(t, path);
  deepEqual(await again.read('a'), bytes(50));
  deepEqual((await readdir(path)).sort(), [masterKey.id, 'lock'].sort());
});

test('a rekey to the current key is a TypeError', async (t) => {
  const { store } = await storeWithSome(t);
  await rejects(store.rekey({ masterKey }), TypeError);
  deepEqual(await store.read('a'), bytes(50));
});
