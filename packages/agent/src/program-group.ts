// A program that this process starts, with all its child processes. The group can be ended as a whole, and ends with
// this process, however that ends.
//
// On Linux this includes children that have left the process group (setsid), found by an inherited variable. On other
// systems, only the process group is found.

import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time between SIGTERM and SIGKILL, ms. */
const killGraceMs = 2_000;
/** A killed process may have just started another, so the search is repeated: number of times, and pause in ms. */
const sweeps = 5;
const sweepPauseMs = 5;

const running = new Set<ProgramGroup>();
const killRunning = () => {
  for (const group of running) group.kill();
};

export class ProgramGroup {
  readonly #mark = randomBytes(16).toString('hex');
  #leader: number | undefined;
  #killing: NodeJS.Timeout | undefined;

  /** The options for spawning the program. */
  options(env: NodeJS.ProcessEnv) {
    return { detached: true, env: { ...env, PALYRA_STARTED: this.#mark } } as const;
  }

  /** Call it immediately after the spawn, before the program can end. */
  add(child: ChildProcess): void {
    if (child.pid === undefined) return;
    this.#leader = child.pid;
    if (running.size === 0) process.once('exit', killRunning);
    running.add(this);
  }

  /** Asks the group to end, and kills it after a while. */
  stop(): void {
    if (this.#killing) return;
    this.#signal('SIGTERM');
    this.#killing = setTimeout(() => this.kill(), killGraceMs);
  }

  kill(): void {
    this.#signal('SIGKILL');
    for (const pid of marked(this.#mark)) signal(pid, 'SIGKILL');
  }

  /** Call it at the end of the program: processes that it left behind keep running. */
  release(): void {
    clearTimeout(this.#killing);
    running.delete(this);
    if (running.size === 0) process.off('exit', killRunning);
  }

  /** Like `release`, but kills the processes left behind. */
  async end(): Promise<void> {
    this.#signal('SIGKILL');
    for (let sweep = 0; sweep < sweeps; sweep += 1) {
      const left = marked(this.#mark);
      if (left.length === 0) break;
      for (const pid of left) signal(pid, 'SIGKILL');
      await sleep(sweepPauseMs);
    }
    this.release();
  }

  #signal(name: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#leader !== undefined) signal(-this.#leader, name);
  }
}

function signal(pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // No process is left, or only processes of another user.
  }
}

/** Processes of this user that have inherited the mark. */
function marked(mark: string): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    return Number.isInteger(pid) && environmentOf(pid).includes(mark) ? [pid] : [];
  });
}

function environmentOf(pid: number): Buffer {
  try {
    return readFileSync(`/proc/${pid}/environ`);
  } catch {
    // The process has ended, or belongs to another user.
    return Buffer.alloc(0);
  }
}
