export type { OwnCaller } from './access/access.ts';
export type { OwnService } from './access/own-services.ts';
export { pairingPeer, recoveryPeer } from './access/pairing-peer.ts';
export { callingDevice } from './access/peer.ts';
export { fromConnectError } from './error-map.ts';
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
export type { Http2Connection } from './http2/connection-over.ts';
export { dialAdmin } from './http2/dial-admin.ts';
export { dialNode, dialPairing, type NodeConnection, type PairingConnection } from './http2/dialer.ts';
export { reachNode, reachPairing } from './http2/reach.ts';
export { type CollectedList, collectRevocationLists } from './revocation-list-parts.ts';
