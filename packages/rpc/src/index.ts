export { access, type Caller, type OwnAccess, type OwnCaller, type OwnCalls } from './access.ts';
export { accessCheck, type CallCheck } from './access-check.ts';
export { connectHandler } from './connect-handler.ts';
export { type Connection, connectionOf } from './connection.ts';
export { settleDeadline, throwIfBrokenOff } from './deadline.ts';
export { type DeviceAuthenticator, type DeviceConnection, DeviceConnections } from './device-connections.ts';
export { fromConnectError, isPeerGone, toConnectError } from './error-map.ts';
export { AdminService } from './gen/palyra/admin/v1/admin_pb.js';
export {
  type CapabilityResult,
  type DaemonEvent,
  DaemonEventSchema,
  type DeviceEvent,
  DeviceEventSchema,
  type Hello,
  NodeService,
} from './gen/palyra/node/v1/node_pb.js';
export { PairingService } from './gen/palyra/pairing/v1/pairing_pb.js';
export { dialAddresses } from './happy-eyeballs.ts';
export { healthRoutes } from './health.ts';
export {
  dialAdmin,
  dialNode,
  dialPairing,
  type Http2Connection,
  type NodeConnection,
  type PairingConnection,
} from './http2-dialer.ts';
export {
  defaultHttp2Limits,
  exportChannelBinding,
  type Http2Limits,
  Http2Listener,
  type Http2ListenerOptions,
  type ListenerEvent,
} from './http2-listener.ts';
export { inOrder, reachNode, reachPairing } from './in-order.ts';
export { defaultRequestMs, InputClock, requestLate } from './input-clock.ts';
export { type ConnectionLimits, LiveConnections, tcpKeepAlive } from './live-connections.ts';
export { acceptedEncoding, encodingProblem } from './message-encoding.ts';
export { type OwnService, type OwnServices, ownServices } from './own-services.ts';
export { pairingPeer, recoveryPeer } from './pairing-peer.ts';
export {
  actorOf,
  callingDevice,
  cameOver,
  contextOf,
  isRemote,
  type Peer,
  pairingChannel,
} from './peer.ts';
export { inMessages, Pieces } from './pieces.ts';
export { printableAnswers } from './printable-answers.ts';
export { reflectionRoutes } from './reflection.ts';
export { type CollectedList, collectRevocationLists } from './revocation-list-parts.ts';
export { type ServeHttp2Options, serveHttp2 } from './serve-http2.ts';
export { sourceKey } from './source-key.ts';
export {
  grpcContentType,
  grpcStatusOk,
  type RequestHead,
  type UnaryAnswer,
  type UnaryCall,
  type UnaryCallOptions,
  UnaryMethods,
} from './unary-call.ts';
export {
  defaultUnfinishedLimits,
  type HeldBytes,
  type SessionBytes,
  tooManyUnfinishedBytes,
  UnfinishedBytes,
  type UnfinishedLimits,
} from './unfinished-bytes.ts';
