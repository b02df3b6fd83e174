import { callsAndConnectionsSuite } from '../../../rpc/src/testing/calls-and-connections-suite.ts';
import { callsSuite, over } from '../../../rpc/src/testing/calls-suite.ts';
import { hostilePeerSuite } from '../../../rpc/src/testing/hostile-peer-suite.ts';
import { slowRequestSuite } from '../../../rpc/src/testing/slow-request-suite.ts';
import { createQuic } from './quic.ts';

callsSuite('QUIC portable', over(createQuic({ runtime: 'portable' })));
callsSuite('QUIC fast', over(createQuic({ runtime: 'fast' })));
callsAndConnectionsSuite('QUIC', createQuic());
hostilePeerSuite('QUIC', createQuic());
slowRequestSuite('QUIC', createQuic());
