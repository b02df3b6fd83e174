import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MasterKey } from './master-key.ts';
import { bytes, secretStoreSuite } from './testing/secret-store-suite.ts';
import { masterKey, openStore, otherKey, temporaryFolder } from './testing/temporary-store.ts';

/** A store with one secret, and the path of its record. */
async function storeWithOne(t: TestContext) {
  const path = join(await temporaryFolder(t), 'store');
  const store = await openStore(t, path);
  await store.write('ca/root', bytes(40));
  const folder = join(path, masterKey.id);
  const [file] = await readdir(folder);
  return { path, store, folder, record: join(folder, file!) };
}

secretStoreSuite('FilesystemSecretStore', async (t) =>
  openStore(t, join(await temporaryFolder(t), 'a', 'store')),
);

test('a written secret is there when the store is opened again', async (t) => {
  const { path, store } = await storeWithOne(t);
  await store.close();
  const again = await openStore(t, path);
  deepEqual(await again.read('ca/root'), bytes(40));
  deepEqual(await again.list(), ['ca/root']);
});

test('folders are 0700, files 0600, and neither file names nor contents reveal names or secrets', async (t) => {
  const { path, folder, record, store } = await storeWithOne(t);
  await store.write('tls/key', new TextEncoder().encode('-----BEGIN PRIVATE KEY-----'));
  for (const [at, mode] of [
    [path, 0o700],
    [folder, 0o700],
    [record, 0o600],
    [join(path, 'lock'), 0o600],
  ] as const)
    equal((await stat(at)).mode & 0o777, mode, at);
  deepEqual((await readdir(path)).sort(), [masterKey.id, 'lock'].sort());
  for (const file of await readdir(folder)) {
    match(file, /^[0-9a-f]{64}$/);
    const content = await readFile(join(folder, file), 'latin1');
    ok(!/root|tls|BEGIN/.test(content), 'no part of the name or secret is in the clear');
  }
  // HMAC-SHA-256 of the name, computed by the program that sealed the record of seal.test.ts, under its key.
  const known = await openStore(
    t,
    join(path, 'k'),
    new MasterKey(Uint8Array.from({ length: 32 }, (_, at) => at + 100)),
  );
  await known.write('ca/root', bytes(1));
  deepEqual(await readdir(join(path, 'k', 'd35d9ac82369dbd38d8db6253af55a26')), [
    '89c0c1ebc3bf5d40b187ce708908000d76f277d676c9bfdd127d232bb63d05ff',
  ]);
});

test('another master key cannot open even an empty store, and changes nothing', async (t) => {
  const { path, store } = await storeWithOne(t);
  await store.delete('ca/root');
  await store.close();
  await rejects(openStore(t, path, otherKey), { code: 'MASTER_KEY_WRONG', message: /key file, passphrase/ });
  deepEqual((await readdir(path)).sort(), [masterKey.id, 'lock'].sort());
  deepEqual(await (await openStore(t, path)).list(), []);
});

test('a record that is truncated, empty, plaintext or too big is SECRET_CORRUPT, and the message names the record', async (t) => {
  const { store, record } = await storeWithOne(t);
  const whole = await readFile(record);
  for (const length of [0, 1, 16, 64, 207, 208, 223, whole.length - 1]) {
    await writeFile(record, whole.subarray(0, length));
    await rejects(store.read('ca/root'), {
      code: 'SECRET_CORRUPT',
      message: new RegExp(`"ca/root".*${record}.*backup`),
    });
    if (length < 208) await rejects(store.list(), { code: 'SECRET_CORRUPT' });
  }
  await writeFile(record, `-----BEGIN PRIVATE KEY-----\n${'A'.repeat(400)}`);
  await rejects(store.read('ca/root'), { code: 'SECRET_CORRUPT' });
  await rejects(store.list(), { code: 'SECRET_CORRUPT' });
  await writeFile(record, whole);
  // Sparse: reading it whole would need a terabyte.
  await truncate(record, 2 ** 40);
  await rejects(store.read('ca/root'), { code: 'SECRET_CORRUPT' });
  await writeFile(record, whole);
  deepEqual(await store.read('ca/root'), bytes(40));
});

test('a flipped bit in any region of a record is SECRET_CORRUPT', async (t) => {
  const { store, record } = await storeWithOne(t);
  const whole = await readFile(record);
  const regions = {
    magic: 3,
    keyId: 20,
    salt: 40,
    name: 70,
    nameTag: 200,
    secret: 210,
    tag: whole.length - 1,
  };
  for (const [region, at] of Object.entries(regions)) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 4;
    await writeFile(record, changed);
    await rejects(store.read('ca/root'), { code: 'SECRET_CORRUPT' }, region);
  }
});

test('swapped or copied records are SECRET_CORRUPT', async (t) => {
  const { store, folder, record } = await storeWithOne(t);
  await store.write('ca/issuing', bytes(41));
  const other = join(folder, (await readdir(folder)).find((file) => join(folder, file) !== record)!);
  await rename(record, `${record}.aside`);
  await rename(other, record);
  await rename(`${record}.aside`, other);
  for (const name of ['ca/root', 'ca/issuing']) await rejects(store.read(name), { code: 'SECRET_CORRUPT' });
  await rejects(store.list(), { code: 'SECRET_CORRUPT', message: /under another name/ });
});

test('reading or listing a record sealed under another master key is MASTER_KEY_WRONG', async (t) => {
  const { store, path, record } = await storeWithOne(t);
  const foreignPath = join(path, 'foreign');
  const foreign = await openStore(t, foreignPath, otherKey);
  await foreign.write('ca/root', bytes(40));
  const [file] = await readdir(join(foreignPath, otherKey.id));
  await writeFile(record, await readFile(join(foreignPath, otherKey.id, file!)));
  await rejects(store.read('ca/root'), { code: 'MASTER_KEY_WRONG', message: /"ca\/root"/ });
  await rejects(store.list(), { code: 'MASTER_KEY_WRONG' });
});

test('a damaged record can be replaced and deleted', async (t) => {
  const { store, record } = await storeWithOne(t);
  await writeFile(record, 'x');
  await store.write('ca/root', bytes(2));
  deepEqual(await store.read('ca/root'), bytes(2));
  await writeFile(record, 'x');
  await store.delete('ca/root');
  deepEqual(await store.list(), []);
});

test('a store whose folder was removed is STORE_FAILED, and not SECRET_NOT_FOUND', async (t) => {
  const { store, folder } = await storeWithOne(t);
  await rename(folder, `${folder}.aside`);
  await rejects(store.read('ca/root'), { code: 'STORE_FAILED' });
  await rejects(store.write('ca/root', bytes(1)), { code: 'STORE_FAILED' });
  await rejects(store.delete('ca/root'), { code: 'STORE_FAILED' });
  await rejects(store.list(), { code: 'STORE_FAILED' });
  await rename(`${folder}.aside`, folder);
  deepEqual(await store.read('ca/root'), bytes(40));
});

test('an invalid lock is STORE_FAILED, and the message says what to do', async (t) => {
  const { path, store } = await storeWithOne(t);
  await store.close();
  await writeFile(join(path, 'lock'), 'x'.repeat(5000));
  await rejects(openStore(t, path), { code: 'STORE_FAILED', message: /remove it/ });
  await rm(join(path, 'lock'));
  deepEqual(await (await openStore(t, path)).list(), ['ca/root']);
});

test('temporary files of a crash are removed when no other process has the store open', async (t) => {
  const { path, store, folder, record } = await storeWithOne(t);
  const temp = `${record}.0123456789abcdef.tmp`;
  await writeFile(temp, 'half a rec', { mode: 0o600 });
  const second = await openStore(t, path);
  ok((await readdir(folder)).length === 2, 'left alone');
  await Promise.all([store.close(), second.close()]);
  const third = await openStore(t, path);
  equal((await readdir(folder)).length, 1);
  deepEqual(await third.list(), ['ca/root']);
});

test("two stores on one path see each other's writes, and simultaneous writes never mix", async (t) => {
  const { path, store } = await storeWithOne(t);
  const second = await openStore(t, path);
  deepEqual(await second.read('ca/root'), bytes(40));
  await second.write('tls', bytes(3));
  deepEqual(await store.read('tls'), bytes(3));
  await store.delete('tls');
  await rejects(second.read('tls'), { code: 'SECRET_NOT_FOUND' });
  const sizes = Array.from({ length: 20 }, (_, n) => 1000 + n * 50);
  await Promise.all(sizes.map((size, n) => (n % 2 ? store : second).write('both', bytes(size))));
  const left = await store.read('both');
  ok(sizes.includes(left.length));
  deepEqual(left, bytes(left.length));
  deepEqual(await second.list(), ['both', 'ca/root']);
});

test('simultaneous opens create only one new store', async (t) => {
  const path = join(await temporaryFolder(t), 'new', 'store');
  const stores = await Promise.all(Array.from({ length: 8 }, () => openStore(t, path)));
  await Promise.all(stores.map((store, n) => store.write(`n/${n}`, bytes(n))));
  for (const store of stores) equal((await store.list('n/')).length, 8);
});

test('a closed store finishes earlier requests and refuses later ones', async (t) => {
  const { path, store } = await storeWithOne(t);
  const writing = store.write('last', bytes(9));
  await store.close();
  await writing;
  await rejects(store.read('last'), TypeError);
  await store.close();
  deepEqual(await (await openStore(t, path)).read('last'), bytes(9));
});

test('foreign files stay unchanged', async (t) => {
  const { path, store, folder } = await storeWithOne(t);
  await store.close();
  await writeFile(join(folder, '.DS_Store'), 'x');
  await mkdir(join(path, 'notes'));
  await chmod(join(path, 'notes'), 0o755);
  const again = await openStore(t, path);
  deepEqual(await again.list(), ['ca/root']);
  deepEqual((await readdir(path)).sort(), [masterKey.id, 'lock', 'notes'].sort());
});
