import { createMemoryQuic } from './memory.ts';
import { contractSuite } from './testing/contract-suite.ts';

contractSuite('memory', createMemoryQuic());
