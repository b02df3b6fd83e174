// The owner checks need root, which can give a file to another user. Without root they are skipped.

import { equal, match, rejects } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, lchown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { checkTrusted, readTrusted } from './trusted-path.ts';

const needsRoot = process.geteuid?.() === 0 ? false : 'only root can give a file to another user';
const another = 65534;

/** `top/middle/file`, and `links/link` that points there. */
async function scene() {
  const root = temporaryFolder();
  const at = (...names: string[]) => join(root, ...names);
  await mkdir(at('top', 'middle'), { recursive: true });
  await mkdir(at('links'));
  await writeFile(at('top', 'middle', 'file'), 'text');
  await symlink('../top/middle/file', at('links', 'link'));
  return { at, file: at('top', 'middle', 'file'), link: at('links', 'link') };
}

async function refusal(path: string, options?: Parameters<typeof checkTrusted>[1]): Promise<string> {
  const error = await checkTrusted(path, options).catch((thrown) => thrown);
  equal(error.code, 'STORE_PERMISSIONS', `${path}: ${error}`);
  return error.message;
}

test('a file that only this user and root can change is trusted, even in /tmp and behind a link', async () => {
  const { at, file, link } = await scene();
  for (const path of [file, link, '/bin/sh']) equal(await checkTrusted(path), true);
  equal(String(await readTrusted(link, 2)), '116,101');
  equal(await checkTrusted(at('none', 'such')), false);
  equal(await readTrusted(at('none'), 1), undefined);
});

for (const [what, names, mode] of [
  ['the file', ['top', 'middle', 'file'], 0o666],
  ['its folder', ['top', 'middle'], 0o777],
  ['a folder above', ['top'], 0o775],
  ['the folder of the link to it', ['links'], 0o757],
] as const)
  test(`nobody else may write to ${what}, and the command in the message corrects this`, async () => {
    const { at, link } = await scene();
    await chmod(at(...names), mode);
    const message = await refusal(link);
    const [, command] = /run: (chmod .*)$/.exec(message) ?? [];
    match(command!, new RegExp(`^chmod go-w ${at(...names)}$`));
    execFileSync('sh', ['-c', command!]);
    equal(await checkTrusted(link), true);
  });

test('one message names all paths that others can write to, quoted for a shell', async () => {
  const root = join(temporaryFolder(), "it's mine");
  const file = join(root, 'folder', 'secret');
  await mkdir(join(root, 'folder'), { recursive: true });
  await writeFile(file, 'text');
  for (const path of [root, join(root, 'folder'), file]) await chmod(path, 0o777);
  const message = await refusal(file, { isSecret: true });
  execFileSync('sh', ['-c', /run: (.*)$/.exec(message)![1]!]);
  equal(await checkTrusted(file, { isSecret: true }), true);
});

for (const [what, names] of [
  ['the file', ['top', 'middle', 'file']],
  ['its folder', ['top', 'middle']],
  ['a folder above', ['top']],
  ['the link to it', ['links', 'link']],
  ['the folder of that link', ['links']],
] as const)
  test(`nobody else may own ${what}`, { skip: needsRoot }, async () => {
    const { at, link } = await scene();
    await lchown(at(...names), another, another);
    const message = await refusal(link);
    match(message, new RegExp(`${at(...names)} belongs to user ${another}, and .* runs as user 0`));
    // The message does not suggest to take over another user's folder.
    equal(/chown/.test(message), names.at(-1) === 'file');
  });

test('a folder in which anybody may create files is not trusted, although a file in it may be', async () => {
  const { at, file } = await scene();
  await chmod(at('top'), 0o1777);
  equal(await checkTrusted(file), true);
  match(await refusal(at('top'), { kind: 'folder' }), /chmod go-w/);
});

test('only the owner may change a secret, and only its group may read it too', async () => {
  const { file } = await scene();
  for (const [mode, isTrusted] of [
    [0o400, true],
    [0o640, true],
    [0o644, false],
    [0o660, false],
    [0o602, false],
  ] as const) {
    await chmod(file, mode);
    if (isTrusted) equal(await checkTrusted(file, { isSecret: true }), true);
    else match(await refusal(file, { isSecret: true }), new RegExp(`chmod g-w,o= ${file}$`));
  }
});

test('the error names a path of the wrong kind, and a link that never ends', async () => {
  const { at, file } = await scene();
  await rejects(readTrusted('/tmp', 1), { code: 'STORE_PERMISSIONS', message: /not a file/ });
  match(await refusal(file, { kind: 'folder' }), /not a folder/);
  await symlink('loop', at('loop'));
  match(await refusal(at('loop')), /more than 40 links/);
  await rejects(checkTrusted(join(file, 'below')), { code: 'STORE_FAILED' });
});
