// One agent at a time for one home and one daemon: two would look like a copied device. The lock is the kernel's, on an
// SQLite file: a killed agent lets go of it.

import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { IdentityError, type PairedEnrollment } from '@palyra/identity';
import type { Home } from './home.ts';

const sqliteBusy = 5;

/**
 * @returns what lets another agent have it.
 * @throws HOME_IN_USE naming the process that has it.
 */
export async function takeAgentLock(home: Home, { root }: PairedEnrollment): Promise<() => void> {
  await mkdir(home.agents, { recursive: true, mode: 0o700 });
  const path = join(home.agents, `${root}.lock`);
  const holder = join(home.agents, `${root}.json`);
  // SQLite would make it readable by others.
  await open(path, 'a', 0o600).then((file) => file.close());
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    await writeFile(holder, JSON.stringify({ pid: process.pid, since: new Date().toISOString() }), {
      mode: 0o600,
    });
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode !== sqliteBusy) throw error;
    throw inUse(home, await readFile(holder, 'utf8').catch(() => ''));
  }
  return () => lock.close();
}

function inUse(home: Home, holder: string): IdentityError {
  const pid = /"pid":([0-9]+)/.exec(holder)?.[1];
  const since = /"since":"([^"]+)"/.exec(holder)?.[1];
  const who = pid ? `the process ${pid}, since ${since}` : 'another process';
  return new IdentityError(
    'HOME_IN_USE',
    `An agent of this device runs already: ${who} (home ${home.path}). Stop that one first.`,
  );
}
