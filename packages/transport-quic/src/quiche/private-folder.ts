// Folders that are private to one process, in memory where the system has a folder in memory. A killed process leaves its folder
// behind, and the next process that makes a folder removes it. The folder's name holds the process id and start time of its
// owner. This pair never repeats, so the folder of a dead process cannot become a live process's folder during the check.

import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '@palyra/identity/values';

const prefix = 'palyra-quic-';
const memory = '/dev/shm';
/** Namespace of process ids, process id, start of the process in ticks since boot, and the suffix that mkdtemp adds. */
const named = /^palyra-quic-(\d+)-(\d+)-(\d+)-\w{6}$/;

/** Makes a folder with mode 0700. The caller removes it at the end. */
export function makePrivateFolder(): string {
  const namespace = pidNamespace();
  const parent = existsSync(memory) ? memory : tmpdir();
  if (namespace === undefined) return mkdtempSync(join(parent, prefix));
  removeAbandoned(parent, namespace);
  return mkdtempSync(join(parent, `${prefix}${namespace}-${process.pid}-${startOf(process.pid)}-`));
}

/** Removes folders of this user's dead processes. Skips other namespaces, such as containers, whose processes are invisible. */
function removeAbandoned(parent: string, namespace: string): void {
  for (const name of readdirSync(parent)) {
    const [, of, pid, start] = named.exec(name) ?? [];
    if (of !== namespace || startOf(Number(pid)) === start) continue;
    try {
      const folder = lstatSync(join(parent, name));
      if (folder.isDirectory() && folder.uid === process.getuid?.())
        rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Another process removed the folder first.
    }
  }
}

/** Undefined where /proc does not identify processes. Folders left behind then stay. */
function pidNamespace(): string | undefined {
  try {
    // /proc may belong to another namespace.
    if (readlinkSync('/proc/self') !== String(process.pid)) return undefined;
    return /^pid:\[(\d+)\]$/.exec(readlinkSync('/proc/self/ns/pid'))?.[1];
  } catch {
    // There is no /proc, or /proc shows nothing.
    return undefined;
  }
}

/** Start time of a process: proc(5), field 22 of stat. Undefined when there is no such process. */
function startOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
  // The command field before it may contain any characters, including parentheses and spaces.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
