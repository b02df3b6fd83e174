// Where the configuration says that the CA's keys are: in the secret store, or in a token.

import { type AuthorityKeys, type SecretStore, SecretStoreKeys } from '@palyra/identity';
import type { DaemonConfig } from './config.ts';
import type { DaemonPaths } from './home.ts';

/** @throws SIGNER_UNAVAILABLE, SIGNER_PIN_WRONG, and what reading the PIN file says. */
export async function openCaKeys(
  { caKey }: DaemonConfig,
  { refusedPin }: DaemonPaths,
  secrets: SecretStore,
): Promise<AuthorityKeys> {
  if (caKey === undefined) return new SecretStoreKeys(secrets);
  // Only a daemon that has a token needs the native library.
  const { TokenKeys } = await import('@palyra/signer-pkcs11');
  const { module, token, pinFile } = caKey;
  return TokenKeys.open({ module, label: token, pinFile, refusedMarker: refusedPin });
}
