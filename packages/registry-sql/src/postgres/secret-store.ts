// Secrets in the table `secrets`, each sealed as in a file (identity/src/secret-store/seal.ts), under the master key that all
// daemons of the fleet have.

import { IdentityError } from '@palyra/identity';
import {
  checkPrefix,
  checkSecret,
  checkSecretName,
  type MasterKey,
  openRecord,
  openRecordName,
  type PassphraseHeader,
  recordLabel,
  type SecretName,
  type SharedSecretStore,
  sealRecord,
  secretNotFound,
} from '@palyra/identity/keys';
import { parsePostgresUrl } from './address.ts';
import type { PostgresConnection } from './connection.ts';
import { Link } from './link.ts';
import { type FleetStatements, fleetStatements } from './statements.ts';

export interface SqlSecretStoreOptions {
  /** A database that `openPostgresRegistry` has opened before, because that creates the tables. */
  readonly url: string;
  /** The key that all daemons of the fleet have, or what derives it with the header of a passphrase in the database. */
  readonly masterKey: MasterKey | ((header: PassphraseHeader) => Promise<MasterKey>);
  /** For readers, which do not set up a database. Default: false. */
  readonly mustExist?: boolean;
}

/** The operations of one instance run one after the other, in call order. */
export class SqlSecretStore implements SharedSecretStore {
  readonly #link: Link;
  readonly #masterKey: MasterKey;
  readonly #labelOf: (name: SecretName) => string;
  readonly #statements: FleetStatements = fleetStatements();
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @throws MASTER_KEY_WRONG if another key seals the secrets in the database; STORE_UNREACHABLE and other errors of
   *   the database.
   */
  static async open({ url, masterKey, mustExist = false }: SqlSecretStoreOptions): Promise<SqlSecretStore> {
    const link = new Link({ address: await parsePostgresUrl(url) });
    try {
      const key = typeof masterKey === 'function' ? await masterKey(headerIn(link)) : masterKey;
      const store = new SqlSecretStore(link, key);
      await store.#mustBeOurs(mustExist);
      return store;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  private constructor(link: Link, masterKey: MasterKey) {
    this.#link = link;
    this.#masterKey = masterKey;
    this.#labelOf = recordLabel(masterKey);
  }

  async read(name: SecretName): Promise<Uint8Array> {
    checkSecretName(name);
    return this.#run((connection) => this.#read(connection, name));
  }

  async write(name: SecretName, secret: Uint8Array): Promise<void> {
    const row = this.#rowOf(name, secret);
    await this.#run((connection) => connection.run(this.#statements.putSecret(row)));
  }

  async writeNew(name: SecretName, secret: Uint8Array): Promise<Uint8Array> {
    const row = this.#rowOf(name, secret);
    return this.#run(async (connection) => {
      await connection.run(this.#statements.addSecret(row));
      return this.#read(connection, name);
    });
  }

  async delete(name: SecretName): Promise<void> {
    checkSecretName(name);
    const deleted = await this.#run((connection) =>
      connection.run(this.#statements.deleteSecret(this.#keyOf(name))),
    );
    if (deleted === 0) throw secretNotFound(name);
  }

  async list(prefix = ''): Promise<SecretName[]> {
    checkPrefix(prefix);
    const rows = await this.#run((connection) =>
      connection.all(this.#statements.secrets({ key_id: this.#masterKey.id })),
    );
    return rows
      .map(({ name_mac: label, record }) => {
        const name = openRecordName(this.#masterKey, record, `The secret ${label} in the database`);
        if (label === this.#labelOf(name)) return name;
        throw new IdentityError(
          'SECRET_CORRUPT',
          `The secret ${label} in the database is that of "${name}" under another name. Restore it from a backup.`,
        );
      })
      .filter((name) => name.startsWith(prefix))
      .sort();
  }

  /** Closes the store after the earlier operations. */
  async close(): Promise<void> {
    await this.#last;
    await this.#link.close();
  }

  /** The first daemon determines the master key, even if several start at the same time. */
  async #mustBeOurs(mustExist: boolean): Promise<void> {
    const { id } = this.#masterKey;
    const [row] = await this.#run(async (connection) => {
      if (!mustExist) await markMasterKey(connection, this.#masterKey);
      return connection.all(this.#statements.secret(masterKeyRow));
    });
    if (!row)
      throw new IdentityError('STORE_FAILED', 'The database has no secrets: no daemon was started with it.', {
        about: 'secret_store',
      });
    if (Buffer.from(row.record).toString() === id) return;
    throw anotherKey();
  }

  async #read(connection: PostgresConnection, name: SecretName): Promise<Uint8Array> {
    const [row] = await connection.all(this.#statements.secret(this.#keyOf(name)));
    if (!row) throw secretNotFound(name);
    return openRecord(this.#masterKey, name, row.record, `The secret "${name}" in the database`);
  }

  #rowOf(name: SecretName, secret: Uint8Array) {
    checkSecretName(name);
    checkSecret(secret);
    return { ...this.#keyOf(name), record: sealRecord(this.#masterKey, name, secret) };
  }

  #keyOf(name: SecretName): { readonly key_id: string; readonly name_mac: string } {
    return { key_id: this.#masterKey.id, name_mac: this.#labelOf(name) };
  }

  #run<T>(operation: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => operation(await this.#link.get()));
    // The caller gets the error. The next operation only waits.
    this.#last = result.catch(() => {});
    return result;
  }
}

function anotherKey(): IdentityError {
  return new IdentityError(
    'MASTER_KEY_WRONG',
    'The secrets in the database are sealed under another master key than the one given. All daemons of a fleet have the same one: copy it from a running daemon.',
  );
}

/** The row that says under which master key the secrets are. */
const masterKeyRow = { key_id: '', name_mac: 'master key' };

/** The row with the header of a passphrase. */
const passphraseRow = { key_id: '', name_mac: 'passphrase' };

function headerIn(link: Link): PassphraseHeader {
  const statements = fleetStatements();
  return {
    name: 'the row of the passphrase in the table secrets',
    async read() {
      const [row] = await (await link.get()).all(statements.secret(passphraseRow));
      return row?.record;
    },
    async add(header) {
      const connection = await link.get();
      const [marked] = await connection.all(statements.secret(masterKeyRow));
      // A faster daemon with the passphrase has stored its header before it marked the key.
      const [stored] = await connection.all(statements.secret(passphraseRow));
      if (marked && !stored) throw anotherKey();
      await markPassphrase(connection, header);
    },
  };
}

/** Stores the header of a passphrase, unless there is one. */
export async function markPassphrase(connection: PostgresConnection, header: Uint8Array): Promise<void> {
  await connection.run(fleetStatements().addSecret({ ...passphraseRow, record: header }));
}

/** Says that the secrets are under this key, unless there is another one. */
export async function markMasterKey(connection: PostgresConnection, { id }: MasterKey): Promise<void> {
  await connection.run(fleetStatements().addSecret({ ...masterKeyRow, record: Buffer.from(id) }));
}
