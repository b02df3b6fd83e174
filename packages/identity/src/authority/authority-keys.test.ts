import { MemorySecretStore } from '../secret-store/memory.ts';
import { SecretStoreKeys } from './authority-keys.ts';
import { authorityKeysSuite } from './testing/authority-keys-suite.ts';

authorityKeysSuite('CA keys in the secret store', { skip: false }, async () => {
  const secrets = new MemorySecretStore();
  return async () => new SecretStoreKeys(secrets);
});
