// Runs a person's command after the files have changed.

import { spawn } from 'node:child_process';
import { ProgramGroup } from './program-group.ts';

/** Time limit for the command, ms. */
const hookTimeoutMs = 60_000;

/**
 * Runs the command in a shell, without standard input. Its output goes to this process's standard error, because a
 * program may read standard output. Processes that it leaves behind at its end, such as a service, keep running. If it
 * must be stopped, all its processes are stopped.
 * @throws Error if it does not end with 0, or not in time.
 */
export function runHook(command: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const group = new ProgramGroup();
    const child = spawn(command, { shell: true, stdio: ['ignore', 2, 2], ...group.options(env) });
    group.add(child);
    let isLate = false;
    const stop = () => group.stop();
    const timer = setTimeout(() => {
      isLate = true;
      stop();
    }, hookTimeoutMs);
    signal.addEventListener('abort', stop, { once: true });
    const isOver = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
    child.once('error', (error) => {
      isOver();
      reject(error);
    });
    child.once('exit', async (code, ended) => {
      isOver();
      if (isLate || signal.aborted) await group.end();
      else group.release();
      if (code === 0) resolve();
      else if (isLate) reject(new Error(`"${command}" did not end within ${hookTimeoutMs / 1000} s`));
      else reject(new Error(`"${command}" ended with ${ended ?? `exit code ${code}`}`));
    });
  });
}
