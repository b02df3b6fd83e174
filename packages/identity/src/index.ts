export {
  AUDIT_GENESIS_HASH,
  type AuditAction,
  type AuditEvent,
  type AuditRow,
  type AuditVerdict,
  auditHashInput,
  verifyAuditChain,
} from './audit.ts';
export { type Clock, systemClock } from './clock.ts';
export { nodeCrypto } from './crypto/node.ts';
export type { Awaitable, IdentityKey, PairingCrypto } from './crypto/port.ts';
export {
  dropEnrollment,
  type Enrollment,
  loadEnrollments,
  type PairedEnrollment,
  type PendingEnrollment,
  storeEnrollment,
} from './device/enrollment.ts';
export { DeviceIdentity, identityFingerprint } from './device/identity.ts';
export { type DeviceId, makeUlid, parseDeviceId, type Ulid } from './device-id.ts';
export { hasCode, IdentityError, type IdentityErrorCode, type IdentityErrorOptions } from './errors.ts';
export {
  type AuthenticatedDevice,
  IdentityManager,
  type IdentityManagerOptions,
  type ServerCredential,
} from './identity-manager.ts';
export { defaultPairingLimits, MAX_PAIRING_MESSAGE_BYTES, type PairingLimits } from './limits.ts';
export { isAddress, type PairingCode, parsePairingCode } from './pairing/code.ts';
export type {
  AwaitUpdate,
  ConfirmReply,
  ExchangeReply,
  OpenReply,
  PairingChannel,
} from './pairing/daemon.ts';
export type { MintedCode } from './pairing/desk.ts';
export { awaitPairing, type PairingDevice, type PairingPeer, requestPairing } from './pairing/device.ts';
export { MAX_NAME_LENGTH, parseDeviceKind, parseDeviceName } from './pairing/name.ts';
export type { Pairing, PairingEvent, PairingRequest, PairingState } from './pairing/state.ts';
export { isDue, step } from './pairing/state.ts';
export type {
  AuthorityRecord,
  CertificateRecord,
  CertificateStanding,
  CertificateState,
  Device,
  DeviceKind,
  Registry,
  RegistryCounts,
  RegistryEvent,
  RegistryReads,
  RegistryTransaction,
  Revocation,
} from './registry/port.ts';
export {
  judgeStanding,
  type StandingCode,
  type StandingVerdict,
  standingMessages,
} from './registry/standing.ts';
