// A program that this process starts, with all its child processes. The group can be ended as a whole, and ends with
// this process, however that ends.
//
// On Linux this includes children that have left the process group (setsid), found by an inherited variable. On other
// systems, only the process group is found.

import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time between SIGTERM and SIGKILL, ms. */
const killGraceMs = 2_000;
/** Pause between two searches for processes, ms. */
const sweepPauseMs = 5;
/** An empty environment is believed only when seen this often: it may be that of the program before (execve). */
const looks = 4;
/** A program that keeps starting others for this long escapes. */
const maxSweeps = 200;

const running = new Set<ProgramGroup>();
const killRunning = () => {
  for (const group of running) group.endAtExit();
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
    this.#sweep(new Map());
  }

  /** Call it at the end of the program: processes that it left behind keep running. */
  release(): void {
    clearTimeout(this.#killing);
    running.delete(this);
    if (running.size === 0) process.off('exit', killRunning);
  }

  /** Like `release`, but kills the processes left behind. */
  async end(): Promise<void> {
    for (const _pause of this.#sweeps()) await sleep(sweepPauseMs);
    this.release();
  }

  /** Like `end`, for a process that is about to exit and can no longer wait. */
  endAtExit(): void {
    const never = new Int32Array(new SharedArrayBuffer(4));
    for (const _pause of this.#sweeps()) Atomics.wait(never, 0, 0, sweepPauseMs);
  }

  /**
   * Kills until two searches in a row find nothing: between the listing of the processes and the look at one of them,
   * it may have started another and ended. Yields before each further search.
   */
  *#sweeps(): Generator<void> {
    this.#signal('SIGKILL');
    const others = new Map<number, number>();
    let quiet = 0;
    for (let sweep = 0; sweep < maxSweeps; sweep += 1) {
      quiet = this.#sweep(others) ? quiet + 1 : 0;
      if (quiet === 2) return;
      yield;
    }
  }

  /**
   * @param others for each process that does not carry the mark, how often that was seen; grows.
   * @returns whether none was found that belongs to this group, or could.
   */
  #sweep(others: Map<number, number>): boolean {
    if (process.platform !== 'linux') return true;
    let found = false;
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry);
      const seen = others.get(pid) ?? 0;
      if (!Number.isInteger(pid) || seen >= looks) continue;
      const environment = environmentOf(pid);
      if (environment.includes(this.#mark)) signal(pid, 'SIGKILL');
      else if (environment.length > 0 || !hasProgram(pid)) others.set(pid, looks);
      else if (!isLoading(pid)) others.set(pid, seen + 1);
      if (others.get(pid) !== looks) found = true;
    }
    return !found;
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

function environmentOf(pid: number): Buffer {
  try {
    return readFileSync(`/proc/${pid}/environ`);
  } catch {
    // The process has ended, or belongs to another user.
    return Buffer.alloc(0);
  }
}

/** Kernel threads, and processes that have ended, have no program. */
function hasProgram(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) !== '';
  } catch {
    return false;
  }
}

/** While a process loads a program, it has neither environment nor arguments. */
function isLoading(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length === 0;
  } catch {
    return false;
  }
}
