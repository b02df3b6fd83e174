export { judgeDaemon, ownProof } from './certificates.ts';
export { type DialChannelOptions, dialChannel } from './dial.ts';
export { dialNodeWeb, dialPairingWeb, reachPairingWeb, type WebDialOptions } from './dialer.ts';
export { defaultFloodLimits, listen, type WebSocketListener, type WebSocketListenOptions } from './listen.ts';
export {
  ChannelDeviceListener,
  type ChannelDeviceListenerOptions,
  type ChannelPairing,
} from './listener.ts';
export type { ProxyOptions } from './proxy.ts';
export { deviceOrigin, type UpgradeRules } from './upgrade.ts';
export { createWebSocketTransport } from './web-socket-transport.ts';
