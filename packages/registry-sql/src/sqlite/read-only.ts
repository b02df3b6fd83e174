// Opens a SQLite file without leaving files beside it (sqlite.org/wal.html, "Read-Only Databases").
//
// In the file's own mode, WAL, even a reader creates missing `-wal` and `-shm` files, and leaves them. So if nobody has
// the file open, it is read as a file that cannot change ("immutable"), and read again if somebody opened it meanwhile.
// If somebody has it open, or was killed, the two files exist and are shared: `-shm` is memory that readers also write.

import type { BigIntStats } from 'node:fs';
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { IdentityError } from '@palyra/identity';
import { codeOf, printable, reasonOf } from '@palyra/identity/values';
import { Kysely, SqliteDialect, sql } from 'kysely';
import { SqliteConnection } from './connection.ts';
import { syncLogOf } from './log.ts';
import { storeError } from './store-error.ts';

/** How often a read is repeated because somebody opened the registry for writing meanwhile. */
const MAX_TRIES = 5;
const BUSY_TIMEOUT_MS = 5000;

/**
 * @param work runs again if somebody opened the registry for writing meanwhile.
 * @throws REGISTRY_LOST if there is no file; STORE_FAILED, STORE_FULL, and errors of `work`.
 */
export async function withReadOnly<T>(
  path: string,
  work: (connection: SqliteConnection) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const before = await filesOf(path);
    const isFrozen = !before.log || (!before.index && before.log.size === 0n);
    const isStill = async () => !isFrozen || (await isSame(before, await filesOf(path)));
    try {
      const result = await (isFrozen
        ? using(openFrozen(path), work)
        : before.index
          ? using(openShared(path), work)
          : withCopy(path, (copy) => using(openShared(copy), work)));
      // The writer may not have waited for the disk yet, but whoever acts on the result relies on what it shows.
      if (before.log) await syncLogOf(path);
      if (await isStill()) return result;
    } catch (error) {
      if (await isStill()) throw error;
    }
    if (tries === MAX_TRIES) {
      throw new IdentityError(
        'STORE_FAILED',
        `The registry ${path} was repeatedly opened for writing during the read. Try again while its daemon is running, or stopped.`,
      );
    }
  }
}

/** Opens the file as it is, even if somebody has it open for writing. */
export function openShared(path: string): SqliteConnection {
  return SqliteConnection.forReading(
    path,
    () => new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS }),
  );
}

function openFrozen(path: string): SqliteConnection {
  const location = pathToFileURL(path);
  location.searchParams.set('immutable', '1');
  return SqliteConnection.forReading(path, () => new DatabaseSync(location, { readOnly: true }));
}

/**
 * @throws REGISTRY_LOST if nothing was ever written to it; STORE_FAILED if it has triggers or views, which could write.
 */
export function mustBeWritten(connection: SqliteConnection, path: string): void {
  const [foreign] = connection.all(
    sql<{ name: string }>`select name from sqlite_schema where type in ('trigger', 'view')`.compile(compiler),
  );
  if (foreign) {
    throw new IdentityError(
      'STORE_FAILED',
      `The registry ${path} holds the trigger or view "${printable(String(foreign.name))}", which palyra does not make: somebody changed the file.`,
      { about: 'registry' },
    );
  }
  const [ledger] = connection.all(
    sql`select 1 from sqlite_schema where name = 'ledger' and type = 'table'`.compile(compiler),
  );
  const [written] = ledger
    ? connection.all(sql`select 1 from ledger where audit_seq > 0`.compile(compiler))
    : [];
  if (!written) throw lost(path, 'is empty');
}

const compiler = new Kysely<object>({
  dialect: new SqliteDialect({ database: () => Promise.reject(new Error('it only compiles')) }),
});

async function using<T>(
  connection: SqliteConnection,
  work: (connection: SqliteConnection) => Promise<T>,
): Promise<T> {
  try {
    return await work(connection);
  } catch (error) {
    throw storeError(error, connection.path);
  } finally {
    connection.close();
  }
}

/** Reads a file that a killed writer left without `-shm`, which a reader must not create. */
async function withCopy<T>(path: string, work: (copy: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'palyra-registry-'));
  try {
    const copy = join(folder, 'registry.sqlite');
    for (const end of ['', '-wal']) await copyFile(path + end, copy + end);
    return await work(copy);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Files {
  readonly main: BigIntStats;
  readonly log: BigIntStats | undefined;
  readonly index: BigIntStats | undefined;
}

async function filesOf(path: string): Promise<Files> {
  const [main, log, index] = await Promise.all(['', '-wal', '-shm'].map((end) => statOf(path + end)));
  if (!main) throw lost(path, 'does not exist');
  return { main, log, index };
}

async function statOf(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw new IdentityError('STORE_FAILED', `The registry ${path} cannot be read: ${reasonOf(cause)}.`, {
      cause,
    });
  }
}

/** Whether a file that nobody had open is unchanged: a writer creates a log, and changes the file. */
function isSame(before: Files, after: Files): boolean {
  const same = (a: BigIntStats | undefined, b: BigIntStats | undefined) =>
    a?.ino === b?.ino && a?.size === b?.size && a?.mtimeNs === b?.mtimeNs;
  return same(before.main, after.main) && same(before.log, after.log);
}

function lost(path: string, how: string): IdentityError {
  return new IdentityError('REGISTRY_LOST', `The registry ${path} ${how}.`);
}
