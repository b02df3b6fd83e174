export {
  type DaemonChannel,
  DaemonConnection,
  type DaemonConnectionOptions,
  type FloodLimits,
} from './accept.ts';
export { type Accepted, agreeAsDaemon, type DaemonSide, type DeviceSide, notAuthenticated } from './agree.ts';
export { webSocketCode, webSocketReason } from './codes.ts';
export { type DeviceChannel, type OpenChannelOptions, openChannel } from './dial.ts';
export { checkKnownDaemon, type JudgedPeer, type KnownDaemon } from './known-daemon.ts';
export { Inbox, type MessageSocket, SocketClosed, type SocketListener } from './message-socket.ts';
export type { Aead, Awaitable, ChannelCrypto, KeyPair } from './noise/crypto.ts';
export { maxNoiseBytes } from './noise/handshake.ts';
export { type ChannelPurpose, type JudgePeer, type OwnProof, subprotocolOf } from './proof.ts';
