import { SecretStoreKeys } from './authority-keys.ts';
import { authorityKeysSuite } from './authority-keys-suite.ts';
import { MemorySecretStore } from './secret-store/memory.ts';

authorityKeysSuite('CA keys in the secret store', { skip: false }, async () => {
  const secrets = new MemorySecretStore();
  return async () => new SecretStoreKeys(secrets);
});
