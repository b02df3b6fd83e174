import { MemorySecretStore } from './memory.ts';
import { secretStoreSuite } from './secret-store-suite.ts';

secretStoreSuite('MemorySecretStore', async () => new MemorySecretStore());
