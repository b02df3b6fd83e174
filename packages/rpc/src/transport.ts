export { access, type Caller, type OwnAccess, type OwnCalls } from './access/access.ts';
export { accessCheck, type CallCheck } from './access/access-check.ts';
export { type OwnServices, ownServices } from './access/own-services.ts';
export { actorOf, cameOver, contextOf, isRemote, type Peer, pairingChannel, peerIn } from './access/peer.ts';
export {
  type CallObserver,
  type ObservedCall,
  observeBy,
  observed,
} from './calls/call-observer.ts';
export { inMessages, Pieces } from './calls/chunk-buffer.ts';
export { connectHandler } from './calls/connect-handler.ts';
export { settleDeadline, throwIfBrokenOff } from './calls/deadline.ts';
export { defaultFrameLimits, type FrameLimits } from './calls/frame.ts';
export { healthRoutes } from './calls/health.ts';
export { acceptedEncoding, encodingProblem } from './calls/message-encoding.ts';
export { reflectionRoutes } from './calls/reflection.ts';
export { type ServeCallsOptions, serveCalls } from './calls/server.ts';
export {
  grpcContentType,
  grpcStatusOk,
  type RequestHead,
  type UnaryAnswer,
  type UnaryCall,
  type UnaryCallOptions,
} from './calls/unary-call.ts';
export { UnaryMethods } from './calls/unary-methods.ts';
export {
  defaultUnfinishedLimits,
  tooManyUnfinishedBytes,
  type UnfinishedLimits,
} from './calls/unfinished-bytes.ts';
export { type Connection, connectionOf } from './connections/connection.ts';
export {
  type DeviceAuthenticator,
  type DeviceConnection,
  DeviceConnections,
} from './connections/device-connections.ts';
export {
  countEvent,
  type DeviceListener,
  type DeviceTrust,
  type ListenerEvent,
  type ListenerOptions,
  type PeerAuthenticator,
} from './connections/device-listener.ts';
export { defaultRequestMs, InputClock, requestLate } from './connections/input-clock.ts';
export { type ConnectionLimits, LiveConnections, tcpKeepAlive } from './connections/live-connections.ts';
export { sourceKey } from './connections/source-key.ts';
export { isPeerGone, toConnectError } from './error-map.ts';
export { PeerService } from './gen/palyra/peer/v1/peer_pb.js';
export { exportChannelBinding } from './http2/channel-binding.ts';
export { dialPeer } from './http2/dialer.ts';
export { dialAddresses } from './http2/happy-eyeballs.ts';
export { defaultHttp2Limits, type Http2Limits } from './http2/limits.ts';
export { Http2Listener, type Http2ListenerOptions } from './http2/listener.ts';
export { type ServeHttp2Options, serveHttp2 } from './http2/serve.ts';
export { knownWord } from './known-word.ts';
export { type Admission, drained, startAdmission } from './streams/admission.ts';
export type {
  ClientTlsConfig,
  ServerTlsConfig,
  StreamDialOptions,
  StreamListener,
  StreamListenOptions,
  StreamRefusal,
  StreamTransport,
} from './streams/contract.ts';
export { DeviceStreams, type DeviceStreamsOptions } from './streams/device-streams.ts';
export { createMemoryTransport } from './streams/memory.ts';
