// Waits for the end of a process that this one did not start, or whose parent has ended.

import { spawnSync } from 'node:child_process';
import { until } from './until.ts';

export function isAlive(pid: number): boolean {
  // An ended process stays as a zombie until its parent waits for it, which may never happen.
  const { status, stdout } = spawnSync('ps', ['-o', 'state=', '-p', `${pid}`], { encoding: 'utf8' });
  return status === 0 && !stdout.startsWith('Z');
}

export async function gone(pid: number): Promise<void> {
  await until(`the end of process ${pid}`, () => !isAlive(pid));
}
