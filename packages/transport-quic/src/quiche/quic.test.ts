import { contractSuite } from '../../../rpc/src/testing/contract-suite.ts';
import { createQuic } from './quic.ts';

contractSuite('portable', createQuic({ runtime: 'portable' }));
contractSuite('fast', createQuic({ runtime: 'fast' }));
