// Stages the command `palyra` for a Debian package and an image: built, with its own Node and the native libraries of
// this platform. Everything comes from the checkout, in the versions of package-lock.json.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, globSync, lstatSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { outsideTheBuild } from './build-palyra.ts';

const repository = join(import.meta.dirname, '..');

/** The folder of the installation. */
export const installationFolder = '/usr/lib/palyra';
/** Node and the script, for units and images. */
export const installedExecutable = [
  `${installationFolder}/node_modules/node/bin/node`,
  `${installationFolder}/bin/palyra.js`,
] as const;

/** @param root gets `installationFolder` below it. */
export function stageInstallation(root: string): void {
  const folder = join(root, installationFolder);
  mkdirSync(folder, { recursive: true });
  const packed = mkdtempSync(join(tmpdir(), 'palyra-installation-'));
  try {
    run(process.execPath, join(repository, 'scripts/pack.ts'), packed);
    const [tarball] = globSync('palyra-cli-*.tgz', { cwd: packed });
    run('tar', 'xzf', join(packed, tarball!), '-C', folder, '--strip-components=1', '--no-same-owner');
  } finally {
    rmSync(packed, { recursive: true, force: true });
  }
  const modules = join(repository, 'node_modules');
  const node = 'node/bin/node';
  cpSync(join(modules, node), join(folder, 'node_modules', node), { dereference: true });
  for (const name of [...outsideTheBuild.required, ...outsideTheBuild.optional]) {
    cpSync(join(modules, name), join(folder, 'node_modules', name), { recursive: true, filter: isNeeded });
  }
  // Restores permissions that a strict umask removed, because other users run the program.
  for (const path of globSync('**', { cwd: root })) {
    const { mode } = lstatSync(join(root, path));
    chmodSync(join(root, path), mode & 0o100 ? 0o755 : 0o644);
  }
}

/**
 * Leaves out libraries of other platforms, which are most of a package, and sources of native ones, most of its files.
 */
function isNeeded(path: string): boolean {
  const [, platform] = /\.((?:linux|darwin|win32|freebsd|android)-[^.]+)\.node$/.exec(path) ?? [];
  if (platform !== undefined) return platform.startsWith(`${process.platform}-${process.arch}`);
  return !/\/(?:obj\.target|\.deps|src|includes|docs|examples)$/.test(path);
}

export function run(command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, {
    cwd: repository,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args[0]} failed`);
}
