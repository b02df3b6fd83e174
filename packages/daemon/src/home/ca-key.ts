// Opens the configured place of the CA keys: the secret store, or a token.

import type { SharedSecretStore } from '@palyra/identity';
import {
  type AuthorityKeyReader,
  type AuthorityKeys,
  keyPlaceOf,
  type SecretReader,
  SecretStoreKeyReader,
  SecretStoreKeys,
} from '@palyra/identity/keys';
import type { RegistryReads } from '@palyra/identity/registry';
import type { DaemonConfig } from '../config.ts';
import { takeHome } from './home.ts';
import type { DaemonPaths } from './paths.ts';

/** @throws SIGNER_UNAVAILABLE, SIGNER_MISMATCH, SIGNER_PIN_WRONG, STORE_FAILED, and what reading the PIN file says. */
export async function openCaKeys(
  { caKey }: DaemonConfig,
  { refusedPin }: DaemonPaths,
  secrets: SharedSecretStore,
  registry: Pick<RegistryReads, 'setting'>,
): Promise<AuthorityKeys> {
  if (caKey === undefined) return new SecretStoreKeys(secrets);
  return openToken(caKey, refusedPin, registry);
}

/** For readers. A token still gets a login, under the marker token-pin-refused. @throws as `openCaKeys` */
export async function readCaKeys(
  { caKey }: DaemonConfig,
  { refusedPin }: DaemonPaths,
  secrets: SecretReader,
  registry: Pick<RegistryReads, 'setting'>,
): Promise<AuthorityKeyReader> {
  if (caKey === undefined) return new SecretStoreKeyReader(secrets);
  return openToken(caKey, refusedPin, registry);
}

/**
 * Tries the token of a home without a daemon, like its first start. Leaves nothing behind except the mark of a refused
 * PIN, because each further try would otherwise use up another one.
 * @throws as `openCaKeys` and `takeHome`.
 */
export async function tryToken(
  { caKey }: DaemonConfig,
  home: string,
): Promise<AuthorityKeys['place'] | undefined> {
  if (caKey === undefined) return undefined;
  const taken = await takeHome(home);
  try {
    const token = await openToken(caKey, taken.refusedPin, { setting: async () => undefined });
    await token.close();
    return token.place;
  } finally {
    await taken.abandon();
  }
}

async function openToken(
  { module, token, pinFile, serial: named }: NonNullable<DaemonConfig['caKey']>,
  refusedMarker: string,
  registry: Pick<RegistryReads, 'setting'>,
): Promise<AuthorityKeys> {
  // Only a daemon with a token needs the native library.
  const { TokenKeys } = await import('@palyra/signer-pkcs11');
  const made = await keyPlaceOf(registry);
  const serial = named ?? (made.provider === 'pkcs11' ? made.serial : undefined);
  return TokenKeys.open({ module, label: token, pinFile, serial, refusedMarker });
}
