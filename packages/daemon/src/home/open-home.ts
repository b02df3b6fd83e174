// Opens the secrets and the registry of a daemon, which belong together. The first start creates both. Later, a missing
// one is lost and is never created again, because that would forget every revocation.

import { stat } from 'node:fs/promises';
import { FilesystemSecretStore, IdentityError } from '@palyra/identity';
import { FilesystemSecretReader, hasSecretStore } from '@palyra/identity/keys';
import { daemonOf, type Registry } from '@palyra/identity/registry';
import { openSqliteRegistry } from '@palyra/registry-sql';
import type { DaemonConfig } from '../config.ts';
import { openMasterKey } from './master-key.ts';
import type { DaemonPaths } from './paths.ts';

export interface OpenHome {
  readonly secrets: FilesystemSecretStore;
  readonly registry: Registry;
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

/** For readers. @throws MASTER_KEY_WRONG, and STORE_FAILED for lost secrets. */
export async function readSecrets(paths: DaemonPaths, config: DaemonConfig): Promise<FilesystemSecretReader> {
  if (!(await hasSecretStore(paths.secrets))) throw secretsLost(paths);
  const masterKey = await openMasterKey(config, paths, { mustExist: true });
  return FilesystemSecretReader.open({ path: paths.secrets, masterKey });
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function secretsLost({ secrets }: DaemonPaths): IdentityError {
  return new IdentityError(
    'STORE_FAILED',
    `The secret store ${secrets} is lost: the keys of the certificate authority were in it.`,
    { about: 'secret_store' },
  );
}
