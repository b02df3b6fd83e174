// Moves the registry of a fleet from its database into a new file in the home of one daemon. The database is marked only after
// the file was verified, and serves nobody from then on.

import { IdentityError } from '@palyra/identity';
import { withReadOnly } from '../sqlite/read-only.ts';
import type { AuditHead } from '../transaction.ts';
import { parsePostgresUrl } from './address.ts';
import { daemonGoneMs } from './channels.ts';
import { movedAway } from './commit.ts';
import { PostgresConnection } from './connection.ts';
import { postgresSide, sqliteSide } from './copied-rows.ts';
import { writeSqliteFile } from './file-copy.ts';
import { mustBePrepared } from './prepare.ts';
import { mustHold } from './registry.ts';
import { fleetStatements } from './statements.ts';
import {
  certificatesIn,
  type Moved,
  moveSession,
  mustBeEqual,
  mustVerify,
  postgresReader,
  sqliteReader,
} from './verified-copy.ts';

export interface MoveBackOptions {
  /** The database. */
  readonly url: string;
  /** The file, which must not exist. */
  readonly path: string;
  /** The daemon that will have the file. */
  readonly daemon: string;
  /** The last row of the audit that this daemon has seen. */
  readonly seen: AuditHead;
  /**
   * Called before anything is copied.
   * @param wasMarked whether an earlier attempt of this daemon has marked the database already.
   */
  readonly begin: (wasMarked: boolean) => Promise<void>;
  /** Called when the file is complete and verified, before the database is marked. */
  readonly finish: () => Promise<void>;
}

/**
 * @throws REGISTRY_IN_USE while another daemon was seen recently; REGISTRY_MOVED if another daemon has the registry;
 *   REGISTRY_WENT_BACK; REGISTRY_VERSION; AUDIT_BROKEN naming what differs; errors of both stores. Then the database was not
 *   changed.
 */
export async function moveIntoFile(options: MoveBackOptions): Promise<Moved> {
  const connection = await PostgresConnection.open(await parsePostgresUrl(options.url), moveSession);
  try {
    await mustBePrepared(connection);
    return await copy(connection, options);
  } finally {
    await connection.close();
  }
}

async function copy(connection: PostgresConnection, options: MoveBackOptions): Promise<Moved> {
  const { path, daemon, seen, begin, finish } = options;
  // No daemon changes anything meanwhile.
  const [ledger] = await connection.execute('begin; select moved_by from ledger for update');
  try {
    const isMarked = ledger?.moved_by != null;
    if (isMarked && ledger.moved_by !== daemon) throw movedAway(connection.name);
    await mustHold(connection, fleetStatements(), seen);
    if (!isMarked) await mustBeAlone(connection, daemon);
    await begin(isMarked);
    const from = postgresReader(connection);
    await mustVerify(from, 'The registry in the database');
    const head = await from.auditHead();
    const { devices } = await from.counts();
    await writeSqliteFile(connection, path, { devices, audit_seq: head.seq, audit_hash: head.hash });
    await withReadOnly(path, async (file) => {
      await mustVerify(sqliteReader(file), 'The copy in the file');
      await mustBeEqual(postgresSide(connection), sqliteSide(file), `The copy in the file ${path}`);
    });
    await finish();
    const certificates = await certificatesIn(connection);
    await connection.query('update ledger set moved_by = $1', [daemon]);
    await connection.execute('commit');
    return { ...head, devices, certificates, wasThere: isMarked };
  } catch (error) {
    await connection.execute('rollback').catch(() => connection.destroy());
    throw error;
  }
}

/** @throws REGISTRY_IN_USE */
async function mustBeAlone(connection: PostgresConnection, daemon: string): Promise<void> {
  const rows = await connection.all(fleetStatements().othersSeen({ daemon, ms: daemonGoneMs }));
  const [other] = rows;
  if (!other) return;
  const { id, endpoints, ago } = other;
  const [endpoint] = JSON.parse(endpoints) as string[];
  throw new IdentityError(
    'REGISTRY_IN_USE',
    `Daemon ${id}${endpoint === undefined ? '' : ` at ${endpoint}`} used the database ${connection.name} ${Math.round(ago / 1000)} s ago. Stop every other daemon of the fleet, and try again when a minute has passed. Nothing was changed.`,
    { about: 'registry' },
  );
}
