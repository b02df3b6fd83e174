import { equal, notEqual, rejects } from 'node:assert/strict';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { masterKeyFromPassphrase, nextMasterKeyForPassphrase } from './passphrase.ts';
import { checkStrength } from './passphrase-strength.ts';
import { temporaryFolder } from './testing/temporary-store.ts';

// The lowest allowed cost, for speed.
const cost = { logN: 15, p: 1 };

test("the same passphrase gives the same key, from the salt in the store's folder", async (t) => {
  const storePath = join(await temporaryFolder(t), 'store');
  const key = await masterKeyFromPassphrase({ storePath, passphrase: 'correct horse battery', cost });
  equal((await stat(storePath)).mode & 0o777, 0o700);
  equal((await stat(join(storePath, 'passphrase'))).mode & 0o777, 0o600);
  equal((await masterKeyFromPassphrase({ storePath, passphrase: 'correct horse battery' })).id, key.id);
  const elsewhere = join(await temporaryFolder(t), 'store');
  notEqual(
    (await masterKeyFromPassphrase({ storePath: elsewhere, passphrase: 'correct horse battery', cost })).id,
    key.id,
  );
});

test('opens another implementation’s header, with any cost and a passphrase that would be refused today', async (t) => {
  const storePath = await temporaryFolder(t);
  // python: hashlib.scrypt("größer".encode(), salt=bytes(range(32)), n=2**15, r=8, p=p, dklen=32), then the key id.
  for (const [costByte, keyId] of [
    ['0f', 'f776a9fcd866d7650eef1c88d0db85c5'],
    ['4f', '00e1f2acdddd439c3eb1526ac3240cd4'],
  ]) {
    const header = `${Buffer.from('palyra-passphrase-v1').toString('hex')}${costByte}${[...Array(32).keys()].map((n) => n.toString(16).padStart(2, '0')).join('')}${keyId}`;
    await writeFile(join(storePath, 'passphrase'), Buffer.from(header, 'hex'), { mode: 0o600 });
    // Typed with a combining diaeresis: the same text in another Unicode form.
    for (const passphrase of ['gr\u00f6\u00dfer', 'gro\u0308\u00dfer'])
      equal((await masterKeyFromPassphrase({ storePath, passphrase })).id, keyId);
  }
});

test('a weak passphrase is refused when it is set, and nothing is created', async (t) => {
  const storePath = join(await temporaryFolder(t), 'store');
  for (const passphrase of [
    'x',
    'password1',
    'Summer2026!',
    'correct horse',
    'a'.repeat(24),
    'qwertyuiopasdfghjkl',
  ]) {
    const refused = { code: 'PASSPHRASE_WEAK', message: /can be guessed.*openssl rand/ };
    await rejects(masterKeyFromPassphrase({ storePath, passphrase, cost }), refused, passphrase);
    await rejects(nextMasterKeyForPassphrase({ storePath, passphrase, cost }), refused, passphrase);
  }
  await rejects(stat(storePath), { code: 'ENOENT' });
  for (const passphrase of ['correct horse battery staple', 'q3vT8mXw2LzK', 'Pfälzer Saumagen'])
    await nextMasterKeyForPassphrase({ storePath, passphrase, cost });
});

test('a passphrase of any length is judged quickly, by its beginning', async () => {
  const random = 'q3vT8mXw2LzK7rBn';
  await checkStrength(random + 'a'.repeat(1000));
  await rejects(checkStrength('a'.repeat(100) + random), { code: 'PASSPHRASE_WEAK' });
});

test('no header can demand more time and memory than allowed', async (t) => {
  const storePath = await temporaryFolder(t);
  const path = join(storePath, 'passphrase');
  const passphrase = 'correct horse battery';
  await masterKeyFromPassphrase({ storePath, passphrase, cost });
  const header = await readFile(path);
  for (let costByte = 0; costByte < 256; costByte += 1) {
    const logN = costByte & 31;
    if (logN >= 15 && logN <= 20) continue;
    await writeFile(path, header.with(20, costByte));
    await rejects(
      masterKeyFromPassphrase({ storePath, passphrase }),
      { code: 'SECRET_CORRUPT' },
      `${costByte}`,
    );
  }
});

test('another passphrase is MASTER_KEY_WRONG', async (t) => {
  const storePath = await temporaryFolder(t);
  await masterKeyFromPassphrase({ storePath, passphrase: 'correct horse battery', cost });
  for (const passphrase of ['correct horse battery ', 'Correct horse battery', 'x'])
    await rejects(masterKeyFromPassphrase({ storePath, passphrase }), {
      code: 'MASTER_KEY_WRONG',
      message: /This is not the passphrase/,
    });
});

test('a damaged header is SECRET_CORRUPT, or MASTER_KEY_WRONG if the damage looks like another passphrase', async (t) => {
  const storePath = await temporaryFolder(t);
  const path = join(storePath, 'passphrase');
  const open = () => masterKeyFromPassphrase({ storePath, passphrase: 'correct horse battery' });
  const { id } = await masterKeyFromPassphrase({ storePath, passphrase: 'correct horse battery', cost });
  const header = await readFile(path);
  for (const length of [0, 10, 53, header.length - 1]) {
    await writeFile(path, header.subarray(0, length));
    await rejects(open(), { code: 'SECRET_CORRUPT', message: /Restore it from a backup/ });
  }
  await writeFile(path, Buffer.concat([header, Buffer.alloc(1)]));
  await rejects(open(), { code: 'SECRET_CORRUPT' });
  // A cost of 255 would need more memory than exists. A cost of 1 would make guessing cheap.
  for (const [at, value, code] of [
    [0, 0, 'SECRET_CORRUPT'],
    [20, 255, 'SECRET_CORRUPT'],
    [20, 1, 'SECRET_CORRUPT'],
    [20, 16, 'MASTER_KEY_WRONG'],
    [30, header[30]! ^ 1, 'MASTER_KEY_WRONG'],
    [60, header[60]! ^ 1, 'MASTER_KEY_WRONG'],
  ] as const) {
    await writeFile(path, header.with(at, value));
    await rejects(open(), { code }, `byte ${at}`);
  }
  await writeFile(path, header);
  equal((await open()).id, id);
});

test('a header that others may access is refused', async (t) => {
  const storePath = await temporaryFolder(t);
  await masterKeyFromPassphrase({ storePath, passphrase: 'correct horse battery', cost });
  await chmod(join(storePath, 'passphrase'), 0o644);
  await rejects(masterKeyFromPassphrase({ storePath, passphrase: 'x' }), { code: 'STORE_PERMISSIONS' });
});

test('an empty or too long passphrase and a cost out of range are a TypeError', async (t) => {
  const storePath = join(await temporaryFolder(t), 'store');
  for (const options of [
    { passphrase: '' },
    { passphrase: 'x'.repeat(1025) },
    { passphrase: 'correct horse battery', cost: { logN: 14, p: 1 } },
    { passphrase: 'correct horse battery', cost: { logN: 15, p: 9 } },
  ]) {
    await rejects(masterKeyFromPassphrase({ storePath, ...options }), TypeError);
    await rejects(nextMasterKeyForPassphrase({ storePath, ...options }), TypeError);
  }
  await rejects(stat(storePath), { code: 'ENOENT' });
});

test('when a passphrase is first set twice simultaneously, one call succeeds and the other gets an error', async (t) => {
  const storePath = await temporaryFolder(t);
  const results = await Promise.allSettled(
    ['correct horse battery', 'battery staple correct'].map((passphrase) =>
      masterKeyFromPassphrase({ storePath, passphrase, cost }),
    ),
  );
  const failed = results.filter((result) => result.status === 'rejected');
  equal(failed.length, 1);
  equal(failed[0]!.reason.code, 'MASTER_KEY_WRONG');
});
