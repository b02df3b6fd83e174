// A program that this process starts, with everything that one starts: it can be ended as a whole, and ends with this
// process, whichever way that ends.
//
// On Linux also what has left its process group (setsid): it is found by a variable that it has inherited. Elsewhere the
// group is all that is found.

import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between the polite and the final signal, ms. */
const killGraceMs = 2_000;
/** What is killed may be starting something, so it is looked for again: so often, and after so long, ms. */
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

  /** What its program must be spawned with. */
  options(env: NodeJS.ProcessEnv) {
    return { detached: true, env: { ...env, PALYRA_STARTED: this.#mark } } as const;
  }

  /** To be called at once, before the spawned program can end. */
  add(child: ChildProcess): void {
    if (child.pid === undefined) return;
    this.#leader = child.pid;
    if (running.size === 0) process.once('exit', killRunning);
    running.add(this);
  }

  /** Asks it to end, and kills what has not after a while. */
  stop(): void {
    if (this.#killing) return;
    this.#signal('SIGTERM');
    this.#killing = setTimeout(() => this.kill(), killGraceMs);
  }

  kill(): void {
    this.#signal('SIGKILL');
    for (const pid of marked(this.#mark)) signal(pid, 'SIGKILL');
  }

  /** Its program has ended: this process lets go of what that left behind. */
  release(): void {
    clearTimeout(this.#killing);
    running.delete(this);
    if (running.size === 0) process.off('exit', killRunning);
  }

  /** As `release`, and what it left behind is killed. */
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
    // Nobody is left, or only what runs as somebody else.
  }
}

/** Processes of this user that were started with the mark. */
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
    // It has ended, or is somebody else's.
    return Buffer.alloc(0);
  }
}
