// The end of a process that this one did not start, or whose parent has ended before.

import { spawnSync } from 'node:child_process';
import { until } from './until.ts';

export function isAlive(pid: number): boolean {
  // One that ended stays as a zombie until somebody waits for it, and nobody may.
  const { status, stdout } = spawnSync('ps', ['-o', 'state=', '-p', `${pid}`], { encoding: 'utf8' });
  return status === 0 && !stdout.startsWith('Z');
}

export async function gone(pid: number): Promise<void> {
  await until(`the end of process ${pid}`, () => !isAlive(pid));
}
