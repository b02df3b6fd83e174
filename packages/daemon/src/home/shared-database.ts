// The registry and the secrets of a fleet: one PostgreSQL database that several daemons share (docs/fleet.md).

import { stat } from 'node:fs/promises';
import { IdentityError, type MasterKey, type SharedSecretStore } from '@palyra/identity';
import { masterKeyBySharedPassphrase, readCredential } from '@palyra/identity/keys';
import type {
  ListenerErrors,
  Registry,
  RegistryReader,
  RegistryTransaction,
} from '@palyra/identity/registry';
import { type Clock, systemClock } from '@palyra/identity/values';
import type {
  DatabaseRoles,
  FleetMember,
  MemberNow,
  PostgresChannels,
  PostgresRegistry,
  SqlSecretStoreOptions,
} from '@palyra/registry-sql/postgres';
import type { DaemonConfig } from '../config.ts';
import { withSetting } from '../setting.ts';
import { newFleetMemory, readFleetFile, writeFleetFile } from './fleet-file.ts';
import { openMasterKey, readPassphrase } from './master-key.ts';
import type { DaemonPaths } from './paths.ts';
import type { SharedDatabaseConfig } from './registry-place.ts';

/** This daemon's place among the daemons that share the database. */
export interface FleetPlace {
  /** This daemon. */
  readonly id: string;
  /** Writes this daemon's row, and notes in the home what it has seen. */
  announce(self: Omit<MemberNow, 'id' | 'databaseMs'>): Promise<void>;
  members(): Promise<FleetMember[]>;
  /** Removes a daemon that is gone. @returns false if it is unknown, or has given a sign of life lately. */
  forget(tx: RegistryTransaction, id: string): Promise<boolean>;
  /** Which daemon has the channel of a device. */
  readonly channels: PostgresChannels;
  /** What all daemons count together. */
  readonly rates: Pick<PostgresRegistry, 'rate' | 'countRate'>;
  /** Work that one daemon does for all. */
  readonly dueWork: Pick<PostgresRegistry, 'didWork' | 'dueWork'>;
  /** How the database answers this daemon. */
  readonly database: Pick<PostgresRegistry, 'isReachable' | 'databaseMs'>;
}

export interface OpenDatabase {
  readonly secrets: SharedSecretStore & { close(): Promise<void> };
  readonly registry: Registry;
  readonly fleet: FleetPlace;
}

const maxUrlBytes = 4096;

export async function readUrl({ registry }: SharedDatabaseConfig): Promise<string> {
  return withSetting('registry.urlFile', () => readUrlFile(registry.urlFile));
}

async function readUrlFile(path: string): Promise<string> {
  const bytes = await readCredential(path, maxUrlBytes);
  if (bytes.length > maxUrlBytes)
    throw new IdentityError('MESSAGE_INVALID', `${path} is too long for a URL.`, { about: 'configuration' });
  return Buffer.from(bytes).toString().trim();
}

/**
 * For the daemon that holds the home. The first daemon sets the database up.
 * @throws REGISTRY_WENT_BACK if this home has seen more than the database has; MASTER_KEY_WRONG; STORE_UNREACHABLE and
 *   other errors of the database.
 */
export async function openSharedDatabase(
  paths: DaemonPaths,
  config: SharedDatabaseConfig,
  onError: ListenerErrors,
  clock: Clock = systemClock,
): Promise<OpenDatabase> {
  await mustNotHaveFiles(paths);
  // Only a daemon with such a registry needs the library.
  const { openPostgresRegistry, SqlSecretStore } = await import('@palyra/registry-sql/postgres');
  const known = await readFleetFile(paths);
  let memory = known ?? newFleetMemory(clock);
  const url = await readUrl(config);
  const masterKey = await openSharedKey(paths, config, { mustExist: false });
  const { listen: listens } = config.registry;
  const registry = await openPostgresRegistry({
    url,
    daemon: memory.daemon,
    listens,
    onError,
    ...(known && { seen: known.seen }),
  });
  let written = Promise.resolve();
  /** One after the other, because each removes what an earlier one may have left half done. */
  const remember = () => {
    const next = written
      .catch(() => {})
      .then(async () => {
        const { seen } = registry;
        if (seen.hash === memory.seen.hash) return;
        await writeFleetFile(paths, { ...memory, seen });
        memory = { ...memory, seen };
      });
    written = next;
    return next;
  };
  try {
    // Channels of an earlier run.
    await registry.channels.begin();
    const secrets = await SqlSecretStore.open({ url, masterKey });
    if (!known) await writeFleetFile(paths, memory);
    return {
      registry,
      secrets: {
        read: (name) => secrets.read(name),
        list: (prefix) => secrets.list(prefix),
        write: (name, secret) => secrets.write(name, secret),
        writeNew: (name, secret) => secrets.writeNew(name, secret),
        delete: (name) => secrets.delete(name),
        async close() {
          await secrets.close();
          await remember();
        },
      },
      fleet: {
        id: memory.daemon,
        async announce(self) {
          await registry.announce({ ...self, id: memory.daemon, databaseMs: registry.databaseMs });
          await remember();
        },
        members: () => registry.members(),
        forget: (tx, id) => registry.forgetMember(tx, id),
        channels: registry.channels,
        rates: registry,
        dueWork: registry,
        database: registry,
      },
    };
  } catch (error) {
    await registry.close();
    throw error;
  }
}

/** For readers. @throws MASTER_KEY_WRONG, STORE_FAILED if no daemon was started with the database, and its other errors. */
export async function readSharedSecrets(
  paths: DaemonPaths,
  config: SharedDatabaseConfig,
): Promise<SharedSecretStore & { close(): Promise<void> }> {
  const { SqlSecretStore } = await import('@palyra/registry-sql/postgres');
  const masterKey = await openSharedKey(paths, config, { mustExist: true });
  return SqlSecretStore.open({ url: await readUrl(config), masterKey, mustExist: true });
}

/** @throws as `lookAtPostgresRegistry` */
export async function lookAtSharedRegistry<T>(
  config: SharedDatabaseConfig,
  look: (registry: RegistryReader) => Promise<T>,
): Promise<T> {
  const { lookAtPostgresRegistry } = await import('@palyra/registry-sql/postgres');
  return lookAtPostgresRegistry(await readUrl(config), look);
}

/**
 * Makes or changes the tables of a database as their owner, and gives the daemons' role its rights.
 * @param urlFile the file with the owner's URL.
 * @throws as `prepareForRole`, and what reading the file says.
 */
export async function prepareDatabase(urlFile: string, servedBy: string): Promise<void> {
  const { prepareForRole } = await import('@palyra/registry-sql/postgres');
  await prepareForRole(await readUrlFile(urlFile), servedBy);
}

/** SQL for a superuser: the roles and the database. @throws MESSAGE_INVALID for a name that needs quotes. */
export async function databaseSql(roles: DatabaseRoles): Promise<string> {
  const { sqlForRoles } = await import('@palyra/registry-sql/postgres');
  return sqlForRoles(roles);
}

/** Copies the registry into a new SQLite file, while daemons may run. @throws as `copyPostgresRegistry` */
export async function copySharedRegistry(
  config: SharedDatabaseConfig,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const { copyPostgresRegistry } = await import('@palyra/registry-sql/postgres');
  await copyPostgresRegistry(await readUrl(config), path, signal);
}

export async function sizeOfSharedRegistry(config: SharedDatabaseConfig): Promise<number> {
  const { sizeOfPostgresRegistry } = await import('@palyra/registry-sql/postgres');
  return sizeOfPostgresRegistry(await readUrl(config));
}

/** The daemons of the fleet. @throws as `lookAtSharedRegistry` */
export async function lookAtSharedFleet(config: SharedDatabaseConfig): Promise<readonly FleetMember[]> {
  const { lookAtFleet } = await import('@palyra/registry-sql/postgres');
  return lookAtFleet(await readUrl(config));
}

/**
 * All daemons have the same key, so none of them makes it. A passphrase gives all of them the same one, by a header in the
 * database.
 * @throws MASTER_KEY_WRONG
 */
export async function openSharedKey(
  paths: DaemonPaths,
  config: DaemonConfig,
  { mustExist }: { readonly mustExist: boolean },
): Promise<SqlSecretStoreOptions['masterKey']> {
  const { masterKey } = config;
  if (masterKey.from === 'passphrase-file') {
    const passphrase = await withSetting('masterKey.path', () => readPassphrase(masterKey.path));
    return (header) =>
      withSetting('masterKey.path', () => masterKeyBySharedPassphrase({ passphrase, header, mustExist }));
  }
  return openCopiedKey(paths, config);
}

async function openCopiedKey(paths: DaemonPaths, config: DaemonConfig): Promise<MasterKey> {
  try {
    return await openMasterKey(config, paths, { mustExist: true });
  } catch (error) {
    if (!(error instanceof IdentityError) || error.fields.about !== 'key_file') throw error;
    throw new IdentityError(
      'MASTER_KEY_WRONG',
      `The key file ${config.masterKey.path ?? paths.masterKey} is not there. All daemons that share a database have the same key: copy it from a daemon that runs. For the first one, make it: head -c 32 /dev/urandom > FILE`,
      { cause: error },
    );
  }
}

/** A registry in a file must not be forgotten, because every revocation is in it. */
async function mustNotHaveFiles({ registry, secrets }: DaemonPaths): Promise<void> {
  for (const path of [registry, secrets])
    if (await stat(path).catch(() => undefined))
      throw new IdentityError(
        'MESSAGE_INVALID',
        `${path} is there, but the configuration says that the registry is in PostgreSQL. Move it there while the daemon is stopped (docs/fleet.md), take "registry" out of the configuration, or start with a new home.`,
        { about: 'configuration' },
      );
}
