// What tests of an installation share: whether this machine can have one, and commands that must succeed.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';

export const repository = join(import.meta.dirname, '../..');
/** What a daemon of such a test is configured with: nobody else's ports. */
export const anyPorts = JSON.stringify({
  pairing: { host: '127.0.0.1', port: 0 },
  node: { host: '127.0.0.1', port: 0 },
  console: { enabled: false },
});

/** Why these tests do not run here: the first command that is missing, with Debian's name for it. Else false. */
export function unableWithout(needed: Readonly<Record<string, string>>): string | false {
  if (process.getuid?.() !== 0) return 'NOT RUN: needs root, for mount namespaces and users';
  for (const [command, debian] of Object.entries(needed))
    if (spawnSync(command, ['--version']).error)
      return `NOT RUN: ${command} is not installed (Debian package: ${debian})`;
  const { status, stderr } = spawnSync('unshare', ['--mount', 'true'], { encoding: 'utf8' });
  return status !== 0 && `NOT RUN: no mount namespace here: ${stderr.trim()}`;
}

/** @returns what it printed. */
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
