// Where the configuration says that the CA's keys are: in the secret store, or in a token.

import {
  type AuthorityKeys,
  keyPlaceOf,
  type RegistryReads,
  type SecretStore,
  SecretStoreKeys,
} from '@palyra/identity';
import type { DaemonConfig } from './config.ts';
import type { DaemonPaths } from './home.ts';

/** @throws SIGNER_UNAVAILABLE, SIGNER_MISMATCH, SIGNER_PIN_WRONG, STORE_FAILED, and what reading the PIN file says. */
export async function openCaKeys(
  { caKey }: DaemonConfig,
  { refusedPin }: DaemonPaths,
  secrets: SecretStore,
  registry: Pick<RegistryReads, 'setting'>,
): Promise<AuthorityKeys> {
  if (caKey === undefined) return new SecretStoreKeys(secrets);
  // Only a daemon that has a token needs the native library.
  const { TokenKeys } = await import('@palyra/signer-pkcs11');
  const { module, token, pinFile } = caKey;
  const made = await keyPlaceOf(registry);
  const serial = caKey.serial ?? (made.provider === 'pkcs11' ? made.serial : undefined);
  return TokenKeys.open({ module, label: token, pinFile, serial, refusedMarker: refusedPin });
}
