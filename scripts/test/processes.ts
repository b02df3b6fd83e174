// Finds the processes that a test file started, even those that left its process group, its session or their parent.
// This works only on Linux: every child inherits a marker in its environment, which /proc shows. A program with another
// environment is found by its session or its parent. On macOS, only the process group is found.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

/** The marker's value is a path of names, because a test file may run this runner itself: `a`, then `a/b`. */
export const markerVariable = 'PALYRA_TEST_FILE';

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

export interface Family {
  readonly marker: string;
  /** The process of the test file, which leads a session and a process group. */
  readonly leader: number;
}

/** Living processes, without zombies, and including the leader while it lives. */
export function livingOf(family: Family): FoundProcess[] {
  return process.platform === 'linux' ? byProc(family) : byGroup(family);
}

/** @returns the processes still alive after this time. @param isLed whether the leader stays. */
export async function livingAfter(family: Family, graceMs: number, isLed: boolean): Promise<FoundProcess[]> {
  const until = performance.now() + graceMs;
  for (;;) {
    const living = livingOf(family).filter(({ pid }) => !isLed || pid !== family.leader);
    if (living.length === 0 || performance.now() > until) return living;
    await sleep(20);
  }
}

/** Kills all processes, and those that they start meanwhile. @returns processes that cannot be killed. */
export async function killAll(family: Family): Promise<FoundProcess[]> {
  const until = performance.now() + 10_000;
  for (;;) {
    const living = livingOf(family);
    if (living.length === 0 || performance.now() > until) return living;
    for (const { pid } of living) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // The process ended by itself.
      }
    }
    await sleep(20);
  }
}

function byProc({ marker, leader }: Family): FoundProcess[] {
  const all: { pid: number; parent: number; isOurs: boolean }[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const stat = read(pid, 'stat');
    // The command, in parentheses, may contain anything. State, parent, process group and session follow.
    const [state, parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === undefined || 'ZX'.includes(state)) continue;
    const isOurs = Number(session) === leader || Number(group) === leader || isMarked(pid, marker);
    all.push({ pid, parent: Number(parent), isOurs });
  }
  const ours = new Set(all.filter(({ isOurs }) => isOurs).map(({ pid }) => pid));
  for (let before = -1; before < ours.size; ) {
    before = ours.size;
    for (const { pid, parent } of all) if (ours.has(parent)) ours.add(pid);
  }
  return [...ours].map((pid) => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').trim() }));
}

function isMarked(pid: number, marker: string): boolean {
  const environment = `\0${read(pid, 'environ')}`;
  return [`\0${markerVariable}=${marker}\0`, `\0${markerVariable}=${marker}/`].some((each) =>
    environment.includes(each),
  );
}

/** Empty if the process has ended, or belongs to another user. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

function byGroup({ leader }: Family): FoundProcess[] {
  const { stdout } = spawnSync('ps', ['-axo', 'pid=,pgid=,state=,command='], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((fields) => fields !== null)
    .filter(([, , group, state]) => Number(group) === leader && !state!.startsWith('Z'))
    .map(([, pid, , , command]) => ({ pid: Number(pid), command: command! }));
}
