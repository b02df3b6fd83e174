// The least rights that a daemon needs in its database. The owner of the tables makes and changes them; the role of the daemons
// reads and writes rows, and cannot rewrite the audit or take a revocation back.

import { IdentityError } from '@palyra/identity';
import { printable } from '@palyra/identity/values';
import { DEFAULT_MIGRATION_TABLE } from 'kysely/migration';
import { parsePostgresUrl } from './address.ts';
import { PostgresConnection } from './connection.ts';
import { prepareDatabase, whileMigrating } from './prepare.ts';
import type { PostgresTables } from './tables.ts';

const rights = {
  devices: 'select, insert, update',
  authorities: 'select, insert, update',
  certificates: 'select, insert, update',
  pairings: 'select, insert, update',
  revocations: 'select, insert',
  audit: 'select, insert',
  settings: 'select, insert, update',
  ledger: 'select, update',
  events: 'select, insert, delete',
  daemons: 'select, insert, update, delete',
  secrets: 'select, insert, update, delete',
  rates: 'select, insert, update, delete',
  revocation_lists: 'select, insert, update',
  channels: 'select, insert, update, delete',
  due_work: 'select, insert, update',
  // Each daemon checks the version of the tables.
  [DEFAULT_MIGRATION_TABLE]: 'select',
} as const satisfies Record<keyof PostgresTables | typeof DEFAULT_MIGRATION_TABLE, string>;

export interface DatabaseRoles {
  readonly database: string;
  /** Owns the database and its tables. */
  readonly owner: string;
  /** The role of the daemons. */
  readonly servedBy: string;
}

const plainName = /^[a-z_][a-z0-9_]{0,62}$/;

/** A name that needs no quotes in SQL. @throws MESSAGE_INVALID */
function mustBePlain(name: string): void {
  if (!plainName.test(name))
    throw new IdentityError(
      'MESSAGE_INVALID',
      `"${printable(name)}" is not a name of small letters, digits and _, such as palyra_owner.`,
    );
}

/** SQL for a superuser: the roles and the database. @throws MESSAGE_INVALID for a name that needs quotes. */
export function sqlForRoles({ database, owner, servedBy }: DatabaseRoles): string {
  for (const name of [database, owner, servedBy]) mustBePlain(name);
  if (owner === servedBy)
    throw new IdentityError('MESSAGE_INVALID', 'The owner and the role of the daemons are two roles.');
  return `-- Run it as a superuser, with psql. Then set both passwords: \\password ${owner}
create role ${owner} login;
create role ${servedBy} login;
create database ${database} owner ${owner} encoding 'UTF8' template template0;
revoke all on database ${database} from public;
grant connect on database ${database} to ${servedBy};
`;
}

/** SQL for the owner of the tables, after each migration. */
function sqlForRights(servedBy: string): string {
  return Object.entries(rights)
    .map(
      ([table, granted]) =>
        `revoke all on ${table} from ${servedBy}; grant ${granted} on ${table} to ${servedBy}`,
    )
    .join(';');
}

/**
 * Makes or changes the tables as their owner, and gives the daemons' role its rights.
 * @param url of the owner.
 * @throws MESSAGE_INVALID for a name that needs quotes, REGISTRY_VERSION, STORE_PERMISSIONS, and errors of the database.
 */
export async function prepareForRole(url: string, servedBy: string): Promise<void> {
  mustBePlain(servedBy);
  const connection = await PostgresConnection.open(await parsePostgresUrl(url), whileMigrating);
  try {
    await prepareDatabase(connection);
    await connection.execute(
      // A cluster that was upgraded from PostgreSQL 14 lets everybody make tables.
      `begin; revoke create on schema public from public; grant usage on schema public to ${servedBy}; ${sqlForRights(servedBy)}; commit`,
    );
  } finally {
    await connection.close();
  }
}
