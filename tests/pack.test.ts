// The packages as npm takes them, in a project of somebody else's: plain JavaScript, with declarations that hold.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const repository = join(import.meta.dirname, '..');

test('a project outside the repository uses the packed packages, and the command runs', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'palyra-project-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  run(process.execPath, [join(repository, 'scripts/pack.ts'), join(folder, 'packed')], repository);
  await installAt(folder);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');

  const example = await readFile(join(repository, 'examples/one-process.ts'), 'utf8');
  await writeFile(join(folder, 'app.ts'), example);
  const tsc = join(repository, 'node_modules/typescript/bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2025', '--types', 'node'];
  run(process.execPath, [tsc, ...options, '--lib', 'es2025,esnext.disposable', 'app.ts'], folder);
  await writeFile(join(folder, 'app.js'), stripTypeScriptTypes(example));
  assert.match(run(process.execPath, ['--disable-warning=ExperimentalWarning', 'app.js'], folder), /./);

  const palyra = join(folder, 'node_modules/@palyra/cli/bin/palyra.js');
  assert.match(run(process.execPath, [palyra, '--version'], folder), /^\d+\.\d+\.\d+\n$/);
  const status = run(
    process.execPath,
    [palyra, 'doctor', '--home', join(folder, 'home'), '--json'],
    folder,
    0,
    1,
    6,
  );
  assert.match(status, /^\{/, 'the daemon package loads, too');
});

/** Ours from the tarballs, everybody else's as they are here. */
async function installAt(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, '@palyra'), { recursive: true });
  const there = join(repository, 'node_modules');
  for (const name of await readdir(there)) {
    if (name !== '@palyra' && !name.startsWith('.')) await symlink(join(there, name), join(modules, name));
  }
  for (const file of await readdir(join(folder, 'packed'))) {
    const [, name] = /^palyra-(.+)-\d+\.\d+\.\d+\.tgz$/.exec(file) ?? assert.fail(file);
    const to = join(modules, '@palyra', name!);
    await mkdir(to);
    run('tar', ['xzf', join(folder, 'packed', file), '-C', to, '--strip-components=1'], folder);
  }
}

function run(program: string, args: readonly string[], cwd: string, ...expected: number[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  assert.ok((expected.length > 0 ? expected : [0]).includes(status ?? -1), `${status}: ${stdout}${stderr}`);
  return stdout;
}
