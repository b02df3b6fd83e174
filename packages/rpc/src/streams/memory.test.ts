import { contractSuite } from '../testing/contract-suite.ts';
import { createMemoryTransport } from './memory.ts';

contractSuite('memory', createMemoryTransport());
