export { dialNodeQuic } from './dial-node.ts';
export { environmentForChildren, type QuicTraffic, quicProblem, quicTraffic } from './quiche/library.ts';
export { createQuic, type Quic, type QuicListenOptions, type QuicOptions } from './quiche/quic.ts';
export type { QuicheRuntime } from './quiche/runtime.ts';
