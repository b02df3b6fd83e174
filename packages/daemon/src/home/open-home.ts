// Opens the secrets and the registry of a daemon, which belong together. The first start creates both. Later, a missing
// one is lost and is never created again, because that would forget every revocation.

import { stat } from 'node:fs/promises';
import { FilesystemSecretStore, IdentityError, type SharedSecretStore } from '@palyra/identity';
import { FilesystemSecretReader, hasSecretStore, type SecretReader } from '@palyra/identity/keys';
import { daemonOf, type Registry, type RegistryReader } from '@palyra/identity/registry';
import { lookAtSqliteRegistry, openSqliteRegistry } from '@palyra/registry-sql';
import type { DaemonConfig } from '../config.ts';
import { readFleetFile } from './fleet-file.ts';
import { openMasterKey } from './master-key.ts';
import type { DaemonPaths } from './paths.ts';
import { isShared } from './registry-place.ts';
import {
  type FleetPlace,
  lookAtSharedRegistry,
  openSharedDatabase,
  readSharedSecrets,
} from './shared-database.ts';

export interface OpenHome {
  readonly secrets: SharedSecretStore & { close(): Promise<void> };
  readonly registry: Registry;
  /** Undefined for a registry in a file, which only one daemon has. */
  readonly fleet?: FleetPlace;
}

/**
 * For the daemon that holds the home.
 * @param onError gets errors of the registry's listeners.
 * @throws REGISTRY_LOST, MASTER_KEY_WRONG, and STORE_FAILED for lost secrets, without creating anything; errors of the
 *   stores.
 */
export async function openHome(
  paths: DaemonPaths,
  config: DaemonConfig,
  onError: (error: unknown, where: string) => void,
): Promise<OpenHome> {
  if (isShared(config)) return openSharedDatabase(paths, config, onError);
  if (await readFleetFile(paths)) throw isElsewhere(paths);
  const hasSecrets = await hasSecretStore(paths.secrets);
  if (!hasSecrets && (await exists(paths.registry))) throw secretsLost(paths);
  const masterKey = await openMasterKey(config, paths, { mustExist: hasSecrets });
  const secrets = await FilesystemSecretStore.open({ path: paths.secrets, masterKey });
  try {
    const mustExist = (await daemonOf(secrets)) !== undefined;
    return { secrets, registry: await openSqliteRegistry({ path: paths.registry, mustExist, onError }) };
  } catch (error) {
    await secrets.close();
    throw error;
  }
}

/** For readers. @throws MASTER_KEY_WRONG, and STORE_FAILED for lost secrets; errors of the database. */
export async function readSecrets(
  paths: DaemonPaths,
  config: DaemonConfig,
): Promise<SecretReader & { close(): Promise<void> }> {
  if (isShared(config)) return readSharedSecrets(paths, config);
  if (!(await hasSecretStore(paths.secrets))) throw secretsLost(paths);
  const masterKey = await openMasterKey(config, paths, { mustExist: true });
  return FilesystemSecretReader.open({ path: paths.secrets, masterKey });
}

/**
 * Reads a snapshot of the registry, while its daemons may run, and writes nothing.
 * @param config undefined for one that cannot be read.
 * @param look may run again.
 * @throws as `lookAtSqliteRegistry` and `lookAtPostgresRegistry`
 */
export async function lookAtRegistry<T>(
  paths: DaemonPaths,
  config: DaemonConfig | undefined,
  look: (registry: RegistryReader) => Promise<T>,
): Promise<T> {
  if (config && isShared(config)) return lookAtSharedRegistry(config, look);
  return lookAtSqliteRegistry({ path: paths.registry }, look);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function isElsewhere({ fleet }: DaemonPaths): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `${fleet} says that the registry of this home is in PostgreSQL, and the configuration does not. Name the database in "registry", or start with a new home.`,
    { about: 'configuration' },
  );
}

function secretsLost({ secrets }: DaemonPaths): IdentityError {
  return new IdentityError(
    'STORE_FAILED',
    `The secret store ${secrets} is lost: the keys of the certificate authority were in it.`,
    { about: 'secret_store' },
  );
}
