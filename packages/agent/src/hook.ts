// The command that a person wants to run after the files have changed.

import { spawn } from 'node:child_process';
import { ProgramGroup } from './program-group.ts';

/** How long it may run, ms. */
const hookTimeoutMs = 60_000;

/**
 * Runs it in a shell, without standard input. What it prints goes to this process's standard error, because a program may
 * read standard output. What it leaves running when it ends (a service, say) stays; what has to be stopped is stopped whole.
 * @throws Error when it does not end with 0, or in time.
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
