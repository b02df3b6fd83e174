import { equal, rejects, throws } from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { masterKeyFromCredential, masterKeyFromText } from './credential.ts';
import { bytes } from './testing/secret-store-suite.ts';
import { masterKey, temporaryFolder } from './testing/temporary-store.ts';

const raw = Buffer.from(bytes(32));
const texts = [
  raw.toString('hex'),
  raw.toString('hex').toUpperCase(),
  raw.toString('base64'),
  raw.toString('base64url'),
];

test('accepts raw bytes, hex and base64, with white space around a text', async (t) => {
  const path = join(await temporaryFolder(t), 'credential');
  for (const content of [raw, ...texts, ...texts.map((text) => `  ${text}\n`)]) {
    await writeFile(path, content, { mode: 0o600 });
    equal((await masterKeyFromCredential({ path })).id, masterKey.id);
    if (typeof content === 'string') equal(masterKeyFromText(content).id, masterKey.id);
  }
});

test('an invalid key is MASTER_KEY_WRONG, and the message does not repeat it', async (t) => {
  const path = join(await temporaryFolder(t), 'credential');
  const bad = [
    '',
    'hunter2',
    texts[0]!.slice(1),
    `${texts[0]}0`,
    `${texts[2]}=`,
    texts[2]!.replace('=', '!'),
  ];
  bad.push('z'.repeat(64), `${texts[0]}\n${texts[0]}`, ' '.repeat(200) + texts[0]);
  for (const text of bad) {
    const isQuiet = (error: Error & { code: string }) =>
      error.code === 'MASTER_KEY_WRONG' && (text.trim() === '' || !error.message.includes(text.trim()));
    throws(() => masterKeyFromText(text), isQuiet);
    await writeFile(path, text, { mode: 0o600 });
    await rejects(masterKeyFromCredential({ path }), isQuiet);
  }
});

test('accepts the files of service managers: read-only, group readable, a symbolic link', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'credential');
  await writeFile(path, raw, { mode: 0o600 });
  for (const mode of [0o400, 0o440, 0o600, 0o640]) {
    await chmod(path, mode);
    equal((await masterKeyFromCredential({ path })).id, masterKey.id);
  }
  await symlink(path, join(folder, 'link'));
  equal((await masterKeyFromCredential({ path: join(folder, 'link') })).id, masterKey.id);
});

test('refuses a file that others may read or that anyone but the owner may write', async (t) => {
  const path = join(await temporaryFolder(t), 'credential');
  await writeFile(path, raw);
  for (const mode of [0o444, 0o644, 0o420, 0o660, 0o602]) {
    await chmod(path, mode);
    await rejects(masterKeyFromCredential({ path }), {
      code: 'STORE_PERMISSIONS',
      message: new RegExp(`chmod g-w,o= ${path}$`),
    });
  }
});

test('the error says that a credential is missing or a folder', async (t) => {
  const folder = await temporaryFolder(t);
  await rejects(masterKeyFromCredential({ path: join(folder, 'none') }), {
    code: 'STORE_FAILED',
    message: /does not exist/,
  });
  await mkdir(join(folder, 'folder'));
  await rejects(masterKeyFromCredential({ path: join(folder, 'folder') }), { code: 'STORE_PERMISSIONS' });
});
