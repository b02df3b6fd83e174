// Exports that also run in a browser: streams, client calls on streams, and errors. This file must import no Node modules.

export { type PairingCalls, pairingPeer, recoveryPeer } from './access/pairing-peer.ts';
export { concat } from './calls/bytes.ts';
export { type CallTransportOptions, createCallTransport } from './calls/client.ts';
export { inOrder } from './calls/in-order.ts';
export { printableAnswers } from './calls/printable-answers.ts';
export type { HeldBytes, SessionBytes } from './calls/unfinished-bytes.ts';
export { UnfinishedBytes } from './calls/unfinished-bytes.ts';
export { capabilityFailures } from './device-enums.ts';
export { fromConnectError } from './error-map.ts';
export {
  type DaemonEvent,
  type DeviceEvent,
  DeviceEventSchema,
  NodeService,
} from './gen/palyra/node/v1/node_pb.js';
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
export type {
  ByteStream,
  ClientConnection,
  ServerConnection,
  StreamConnection,
  StreamLimits,
} from './streams/contract.ts';
export { resolveStreamLimits } from './streams/contract.ts';
export { ReceiveQueue } from './streams/receive-queue.ts';
