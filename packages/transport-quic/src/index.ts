export type { Quic, QuicListenOptions } from './contract.ts';
export { dialNodeQuic } from './dialer.ts';
export { QuicDeviceListener, type QuicDeviceListenerOptions } from './listener.ts';
export { environmentForChildren, type QuicTraffic, quicProblem, quicTraffic } from './quiche/library.ts';
export { createQuic, type QuicOptions } from './quiche/quic.ts';
export type { QuicheRuntime } from './quiche/runtime.ts';
