// Moves the registry and the secrets of a stopped daemon from its home into an empty database. Everything is one transaction,
// which is committed only after the copy was verified.

import { IdentityError } from '@palyra/identity';
import { type MasterKey, recordLabel, type SecretName, sealRecord } from '@palyra/identity/keys';
import type { SqliteConnection } from '../sqlite/connection.ts';
import { mustBeWritten, withReadOnly } from '../sqlite/read-only.ts';
import { parsePostgresUrl } from './address.ts';
import { PostgresConnection } from './connection.ts';
import { copyRows, postgresSide, sqliteSide } from './copied-rows.ts';
import { prepareDatabase } from './prepare.ts';
import { markMasterKey, markPassphrase } from './secret-store.ts';
import {
  certificatesIn,
  type Moved,
  moveSession,
  mustBeEqual,
  mustVerify,
  postgresReader,
  sqliteReader,
} from './verified-copy.ts';

export interface MoveOptions {
  /** The registry in a file, of a daemon that is stopped. */
  readonly path: string;
  /** The database. */
  readonly url: string;
  /** The key that all daemons of the fleet will have. */
  readonly masterKey: MasterKey;
  /** The header of the passphrase that the key comes from. */
  readonly passphraseHeader?: Uint8Array | undefined;
  /** Every secret of the home, in the clear. */
  readonly secrets: ReadonlyMap<SecretName, Uint8Array>;
}

/**
 * Copies everything, and verifies the copy: the audit chain and the tables on both sides, and each row.
 * @throws MESSAGE_INVALID for a database that is not empty; AUDIT_BROKEN naming what differs; errors of both stores. Then
 *   nothing was changed.
 */
export async function moveIntoPostgres(options: MoveOptions): Promise<Moved> {
  const { path, url } = options;
  const connection = await PostgresConnection.open(await parsePostgresUrl(url), moveSession);
  try {
    await prepareDatabase(connection);
    return await withReadOnly(path, async (file) => {
      mustBeWritten(file, path);
      return copy(file, connection, options);
    });
  } finally {
    await connection.close();
  }
}

async function copy(
  file: SqliteConnection,
  connection: PostgresConnection,
  options: MoveOptions,
): Promise<Moved> {
  const from = sqliteReader(file);
  await mustVerify(from, 'The registry in the file');
  const head = await from.auditHead();
  const { devices } = await from.counts();
  const [ledger] = await connection.execute('begin; select moved_by from ledger for update');
  try {
    const to = postgresReader(connection);
    const present = await to.auditHead();
    const isMovedAway = ledger?.moved_by !== null;
    const wasThere = !isMovedAway && present.seq === head.seq && present.hash === head.hash;
    if (!wasThere && (present.seq > 0 || (await to.setting('daemon_id')) !== undefined))
      throw notEmpty(connection.name);
    if (!wasThere) {
      await copyRows(sqliteSide(file), postgresSide(connection));
      await connection.query(
        `update ledger set devices = $1, audit_seq = $2, audit_hash = $3,
           revocation_seq = (select count(*) from revocations)`,
        [devices, head.seq, head.hash],
      );
      await putSecrets(connection, options);
    }
    await mustVerify(to, 'The copy in the database');
    const what = `The copy in the database ${connection.name}`;
    await mustBeEqual(sqliteSide(file), postgresSide(connection), what);
    const certificates = await certificatesIn(connection);
    await connection.execute('commit');
    return { ...head, devices, certificates, wasThere };
  } catch (error) {
    await connection.execute('rollback').catch(() => connection.destroy());
    throw error;
  }
}

async function putSecrets(
  connection: PostgresConnection,
  { masterKey, passphraseHeader, secrets }: MoveOptions,
): Promise<void> {
  if (passphraseHeader) await markPassphrase(connection, passphraseHeader);
  await markMasterKey(connection, masterKey);
  const labelOf = recordLabel(masterKey);
  for (const [name, secret] of secrets)
    await connection.query('insert into secrets (key_id, name_mac, record) values ($1, $2, $3)', [
      masterKey.id,
      labelOf(name),
      Buffer.from(sealRecord(masterKey, name, secret)),
    ]);
}

function notEmpty(name: string): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `The database ${name} has a registry already, and it is not this one. Nothing was changed. Name an empty database.`,
    { about: 'registry' },
  );
}
