// Shared by tests of an installation: a check whether this machine supports them, and commands that must succeed.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';

export const repository = join(import.meta.dirname, '../..');
/** The configuration of a daemon in such a test, with free ports. */
export const anyPorts = JSON.stringify({
  pairing: { host: '127.0.0.1', port: 0 },
  node: { host: '127.0.0.1', port: 0 },
  console: { enabled: false },
});

/** The reason to skip these tests here, such as a missing command with its Debian package; otherwise false. */
export function unableWithout(needed: Readonly<Record<string, string>>): string | false {
  if (process.getuid?.() !== 0) return 'NOT RUN: needs root, for mount namespaces and users';
  for (const [command, debian] of Object.entries(needed))
    if (spawnSync(command, ['--version']).error)
      return `NOT RUN: ${command} is not installed (Debian package: ${debian})`;
  const { status, stderr } = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
  return status !== 0 && `NOT RUN: no mount namespace here: ${stderr.trim()}`;
}

/** @returns the output of the command. */
export function run(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    cwd: repository,
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  assert.ifError(error);
  assert.equal(status, 0, `${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout + stderr;
}
