import { contractSuite } from '../testing/contract-suite.ts';
import { createMemoryQuic } from './memory.ts';

contractSuite('memory', createMemoryQuic());
