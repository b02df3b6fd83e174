export { access, type Caller, type OwnAccess, type OwnCaller, type OwnCalls } from './access.ts';
export { accessCheck, type CallCheck } from './access-check.ts';
export { type CallTransportOptions, createCallTransport } from './calls/client.ts';
export { defaultFrameLimits, type FrameLimits } from './calls/frame.ts';
export { type ServeCallsOptions, serveCalls } from './calls/server.ts';
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
export {
  dialAdmin,
  dialNode,
  dialPairing,
  type Http2Connection,
  type NodeConnection,
  type PairingConnection,
} from './http2/dialer.ts';
export { type CollectedList, collectRevocationLists } from './revocation-list-parts.ts';
export { type ServeHttp2Options, serveHttp2 } from './serve-http2.ts';
export { sourceKey } from './source-key.ts';
export { type Admission, drained, startAdmission } from './streams/admission.ts';
export {
  closedNormally,
  closeErrorOf,
  maxReasonBytes,
  type ResetReason,
  resetReasonOf,
  StreamReset,
  toCloseNumber,
  toCloseReason,
} from './streams/close-code.ts';
export {
  type ByteStream,
  type ClientConnection,
  type ClientTlsConfig,
  resolveStreamLimits,
  type ServerConnection,
  type ServerTlsConfig,
  type StreamConnection,
  type StreamDialOptions,
  type StreamLimits,
  type StreamListener,
  type StreamListenOptions,
  type StreamRefusal,
  type StreamTransport,
} from './streams/contract.ts';
export { createMemoryTransport } from './streams/memory.ts';
export { ReceiveQueue } from './streams/receive-queue.ts';
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
