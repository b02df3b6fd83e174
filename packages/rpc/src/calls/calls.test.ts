import { createMemoryTransport } from '../streams/memory.ts';
import { callsAndConnectionsSuite } from '../testing/calls-and-connections-suite.ts';
import { callsSuite, maxBytes, over } from '../testing/calls-suite.ts';
import { conformanceRoutes } from '../testing/conformance-service.ts';
import { overHttp2 } from '../testing/http2.ts';

for (const [name, by] of [
  ['HTTP/2 of Connect', 'connect'],
  ['HTTP/2', 'palyra'],
] as const)
  callsSuite(name, (pki, witness) => overHttp2(by, pki, conformanceRoutes(witness), maxBytes));
callsSuite('memory', over(createMemoryTransport()));
callsAndConnectionsSuite('memory', createMemoryTransport());
