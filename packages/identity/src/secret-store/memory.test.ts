import { MemorySecretStore } from './memory.ts';
import { secretStoreSuite } from './testing/secret-store-suite.ts';

secretStoreSuite('MemorySecretStore', async () => new MemorySecretStore());
