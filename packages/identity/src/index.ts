export { type RegistryVerdict, verifyAudit } from './audit/verify-audit.ts';
export { hasCode, IdentityError, type IdentityErrorCode } from './errors.ts';
export {
  type AuthenticatedDevice,
  IdentityManager,
  type IdentityManagerOptions,
  type ServerCredential,
} from './identity-manager.ts';
export { masterKeyFromCredential } from './secret-store/credential.ts';
export { FilesystemSecretStore, type FilesystemSecretStoreOptions } from './secret-store/filesystem.ts';
export { masterKeyFromFile } from './secret-store/key-file.ts';
export { MasterKey } from './secret-store/master-key.ts';
export { MemorySecretStore } from './secret-store/memory.ts';
export { masterKeyFromPassphrase } from './secret-store/passphrase.ts';
export type { SecretStore } from './secret-store/port.ts';
