export { type QuicResetReason, QuicStreamReset } from './close-code.ts';
export type {
  Quic,
  QuicClientConnection,
  QuicClientTlsConfig,
  QuicConnection,
  QuicDialOptions,
  QuicLimits,
  QuicListener,
  QuicListenOptions,
  QuicRefusal,
  QuicServerConnection,
  QuicServerTlsConfig,
  QuicStream,
} from './contract.ts';
export { resolveQuicLimits } from './contract.ts';
export { dialNodeQuic } from './dialer.ts';
export { QuicDeviceListener, type QuicDeviceListenerOptions } from './listener.ts';
export { createMemoryQuic } from './memory.ts';
export { environmentForChildren, type QuicTraffic, quicProblem, quicTraffic } from './quiche/library.ts';
export { createQuic, type QuicOptions } from './quiche/quic.ts';
export type { QuicheRuntime } from './quiche/runtime.ts';
export { createQuicTransport, type QuicTransportOptions } from './rpc/client.ts';
export { defaultFrameLimits, type FrameLimits } from './rpc/frame.ts';
export { type ConnectOverQuicOptions, serveConnectOverQuic } from './rpc/server.ts';
