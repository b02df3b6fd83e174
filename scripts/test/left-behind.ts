// Finds everything that a test file created and did not remove: in its folders, and in shared places.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const namespaces = '/run/netns';

/** Open enough for tests that become another user: a user who knows a path in it can reach it. */
export function makeFolder(path: string): void {
  mkdirSync(path);
  chmodSync(path, 0o711);
}

/** Paths left in the folder, and network namespaces named after the process. */
export function leftBy(pid: number, folder: string): string[] {
  const inFolder = (entries(folder) ?? []).map((name) => join(folder, name));
  return [...inFolder, ...namespacesOf(pid).map((name) => join(namespaces, name))];
}

/** Removes everything, after unmounting the mounts of a killed file. */
export function remove(pid: number, folder: string): void {
  for (const name of namespacesOf(pid)) spawnSync('ip', ['netns', 'delete', name]);
  for (const mount of mountsBelow(folder)) spawnSync('umount', ['--lazy', mount]);
  // A killed process may still have created another file.
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** `palyra-PID-N`, the names of tests/testing/network-namespace.ts. */
function namespacesOf(pid: number): string[] {
  return (entries(namespaces) ?? []).filter((name) => name.startsWith(`palyra-${pid}-`));
}

/** Inner mounts first. */
function mountsBelow(folder: string): string[] {
  let table: string;
  try {
    table = readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return [];
  }
  return table
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) => path.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

/** Undefined if the folder is missing. */
export function entries(folder: string): string[] | undefined {
  try {
    return readdirSync(folder).sort();
  } catch {
    return undefined;
  }
}
