export {
  type AuthorityKeyReader,
  type AuthorityKeys,
  checkKeyPlace,
  type KeyPlace,
  keyPlaceOf,
  SecretStoreKeyReader,
  SecretStoreKeys,
} from '../authority/authority-keys.ts';
export { type CredentialOptions, masterKeyFromText, readCredential } from './credential.ts';
export { FilesystemSecretReader, hasSecretStore } from './filesystem-reader.ts';
export { type KeyFileOptions, nextMasterKeyForFile } from './key-file.ts';
export type { MasterKey, NextMasterKey } from './master-key.ts';
export { checkPrefix, checkSecretName } from './name.ts';
export {
  masterKeyBySharedPassphrase,
  newPassphraseHeader,
  nextMasterKeyForPassphrase,
  type PassphraseHeader,
  type PassphraseOptions,
  type ScryptCost,
  type SharedPassphraseOptions,
} from './passphrase.ts';
export { checkStrength } from './passphrase-strength.ts';
export {
  checkSecret,
  MAX_SECRET_BYTES,
  type SecretName,
  type SecretReader,
  type SharedSecretStore,
  secretNotFound,
} from './port.ts';
export { openRecord, openRecordName, recordLabel, sealRecord } from './seal.ts';
