export { dialNodeQuic } from './dial-node.ts';
export { environmentForChildren, type QuicTraffic, quicProblem, quicTraffic } from './quiche/library.ts';
export { createQuic, type QuicOptions } from './quiche/quic.ts';
export type { QuicheRuntime } from './quiche/runtime.ts';
