// A foreign project with the packages as npm installs them: ours from tarballs, the others from this checkout.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '../..');

/** @param without packages to leave out. */
export async function makeProject(
  folder: string,
  packed: string,
  without: readonly string[] = [],
): Promise<void> {
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, '@palyra'), { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const there = join(repository, 'node_modules');
  for (const name of await readdir(there)) {
    if (name === '@palyra' || name.startsWith('.') || without.includes(name)) continue;
    await symlink(join(there, name), join(modules, name));
  }
  for (const file of await readdir(packed)) {
    const [, name] = /^palyra-(.+)-\d+\.\d+\.\d+\.tgz$/.exec(file) ?? assert.fail(file);
    const to = join(modules, '@palyra', name!);
    await mkdir(to);
    run('tar', ['xzf', join(packed, file), '-C', to, '--strip-components=1'], { cwd: folder });
  }
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Default: 0. */
  readonly exits?: readonly number[];
}

/** @returns the standard output. */
export function run(program: string, args: readonly string[], options: RunOptions): string {
  const { cwd, env = process.env, exits = [0] } = options;
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  assert.ok(exits.includes(status ?? -1), `${program} ${args.join(' ')}: ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Runs a file of a project with the Node of this test. */
export function runNode(file: string, options: RunOptions): string {
  return run(process.execPath, ['--disable-warning=ExperimentalWarning', file], options);
}
