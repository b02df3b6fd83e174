// Folders for one process alone, in memory where there is such a place. A killed process leaves its folder behind, and
// the next one that makes one removes it. Whose folder it is stands in its name, as process id and start time: this pair
// never comes again, so a folder of the dead cannot become one of the living while it is looked at.

import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@palyra/identity/values';

const prefix = 'palyra-quic-';
const memory = '/dev/shm';
/** Namespace of process ids, process id, ticks since boot at its start, and what mkdtemp adds. */
const named = /^palyra-quic-(\d+)-(\d+)-(\d+)-\w{6}$/;

/** 0700. The caller removes it at the end. */
export function makePrivateFolder(): string {
  const namespace = pidNamespace();
  const parent = existsSync(memory) ? memory : tmpdir();
  if (namespace === undefined) return mkdtempSync(join(parent, prefix));
  removeAbandoned(parent, namespace);
  return mkdtempSync(join(parent, `${prefix}${namespace}-${process.pid}-${startOf(process.pid)}-`));
}

/** Folders of this user's dead processes. Process ids of another namespace, as of a container, cannot be told. */
function removeAbandoned(parent: string, namespace: string): void {
  for (const name of readdirSync(parent)) {
    const [, of, pid, start] = named.exec(name) ?? [];
    if (of !== namespace || startOf(Number(pid)) === start) continue;
    try {
      const folder = lstatSync(join(parent, name));
      if (folder.isDirectory() && folder.uid === process.getuid?.())
        rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Another process was here first.
    }
  }
}

/** Undefined where processes cannot be told by /proc, and what is left behind stays. */
function pidNamespace(): string | undefined {
  try {
    // /proc may be another namespace's.
    if (readlinkSync('/proc/self') !== String(process.pid)) return undefined;
    return /^pid:\[(\d+)\]$/.exec(readlinkSync('/proc/self/ns/pid'))?.[1];
  } catch {
    // No /proc here, or one that shows nothing.
    return undefined;
  }
}

/** proc(5), field 22 of stat. Undefined when there is no such process. */
function startOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
  // The command before it may hold anything, parentheses and spaces too.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
