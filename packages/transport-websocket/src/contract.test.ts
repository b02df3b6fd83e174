import { contractSuite } from '../../rpc/src/testing/contract-suite.ts';
import { createWebSocketTransport } from './web-socket-transport.ts';

contractSuite('WebSocket', createWebSocketTransport());
