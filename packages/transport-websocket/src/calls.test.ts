import { callsAndConnectionsSuite } from '../../rpc/src/testing/calls-and-connections-suite.ts';
import { callsSuite, over } from '../../rpc/src/testing/calls-suite.ts';
import { hostilePeerSuite } from '../../rpc/src/testing/hostile-peer-suite.ts';
import { slowRequestSuite } from '../../rpc/src/testing/slow-request-suite.ts';
import { createWebSocketTransport } from './web-socket-transport.ts';

const transport = createWebSocketTransport();
callsSuite('WebSocket', over(transport));
callsAndConnectionsSuite('WebSocket', transport);
hostilePeerSuite('WebSocket', transport);
slowRequestSuite('WebSocket', transport);
