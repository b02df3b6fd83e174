export type { Difference } from '../audit/differences.ts';
export {
  AUDIT_GENESIS_HASH,
  type AuditAction,
  type AuditEvent,
  type AuditRow,
  type AuditVerdict,
  auditHashInput,
  verifyAuditChain,
} from '../audit/entry.ts';
export { describeDifference } from '../audit/verify-audit.ts';
export { daemonOf, mustBelongTogether } from '../authority/belonging.ts';
export { continueBundleSequence, type PublishedBundle } from '../authority/bundle-sequence.ts';
export type { ListOfAuthority, RevocationList } from '../authority/published-list.ts';
export type { RootRotationStatus } from '../authority/root-rotation.ts';
export { type SetAsideCost, type SetAsideOptions, setAsideMisdated } from '../authority/set-aside.ts';
export { type CarryOverOptions, carryOver, revokeNamed, takeEveryGrant } from '../fleet/carry-over.ts';
export type { CertificateRecord, CertificateState } from '../fleet/certificate-state.ts';
export type { CloningPolicy } from '../fleet/clones.ts';
export type {
  AdmittedDevice,
  CloneSign,
  Device,
  DeviceKind,
  DeviceRole,
  DeviceState,
  QuarantinedDevice,
  RevokedDevice,
} from '../fleet/device.ts';
export { deviceNotFound } from '../fleet/device.ts';
export { hasLabels, isLabel, maxLabelLength, maxLabels, parseLabels } from '../fleet/labels.ts';
export { putRestored, type Restored, readRestored } from '../fleet/restored.ts';
export type { OperatorPasskeys, Passkey } from '../operator/passkeys.ts';
export {
  type DueBounds,
  dueBounds,
  isDue,
  type Pairing,
  type PairingEvent,
  type PairingRequest,
  type PairingState,
  step,
} from '../pairing/state.ts';
export {
  type Actor,
  type ActorName,
  actorName,
  deviceNamed,
  type LocalPlace,
  parseActorName,
} from './actor.ts';
export { changeMade, tellingOfChanges } from './change-made.ts';
export { type ListenerErrors, RegistryListeners } from './listeners.ts';
export type {
  AuthorityRecord,
  AuthorityState,
  CertificatePace,
  CertificateStanding,
  DeviceOrder,
  DevicesQuery,
  EventOrigin,
  Registry,
  RegistryCounts,
  RegistryEvent,
  RegistryListener,
  RegistryReader,
  RegistryReads,
  RegistryTransaction,
  Revocation,
  SharedList,
  SharedListHead,
  SharedLists,
} from './port.ts';
export {
  judgeStanding,
  revokedMessage,
  type StandingCode,
  type StandingVerdict,
  standingMessages,
} from './standing.ts';
export { roleMissing, transactBy } from './transact-by.ts';
