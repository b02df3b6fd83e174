export type { Difference } from './audit/differences.ts';
export {
  AUDIT_GENESIS_HASH,
  type AuditAction,
  type AuditEvent,
  type AuditRow,
  type AuditVerdict,
  auditHashInput,
  verifyAuditChain,
} from './audit/entry.ts';
export { describeDifference, type RegistryVerdict, verifyAudit } from './audit/verify-audit.ts';
export {
  type AuthorityKeyReader,
  type AuthorityKeys,
  checkKeyPlace,
  type KeyPlace,
  keyPlaceOf,
  SecretStoreKeyReader,
  SecretStoreKeys,
} from './authority/authority-keys.ts';
export { daemonOf, mustBelongTogether } from './authority/authority-store.ts';
export { continueBundleSequence, type PublishedBundle } from './authority/bundle-sequence.ts';
export type { ListOfAuthority, RevocationList } from './authority/revocation-lists.ts';
export type { RootRotationStatus } from './authority/root-rotation.ts';
export { type SetAsideCost, type SetAsideOptions, setAsideMisdated } from './authority/set-aside.ts';
export {
  CertificateAuthority,
  type CertificateAuthorityOptions,
  type IssuingOptions,
  MAX_DEVICE_LIFE_MS,
  MIN_DEVICE_LIFE_MS,
  makeIssuing,
  makeRoot,
  type RootOptions,
} from './certificate/authority.ts';
export {
  ChainJudge,
  type JudgedChain,
  MAX_CHAIN_BYTES,
  MAX_CHAIN_CERTIFICATES,
} from './certificate/chain-verdict.ts';
export { isDnsName } from './certificate/host-name.ts';
export type { IssuedCertificate } from './certificate/issue.ts';
export { LocalSigner } from './certificate/local-signer.ts';
export {
  type AuthorityCertificate,
  type CertificateSummary,
  type PeerCertificate,
  readAuthorityCertificate,
  readPeerCertificate,
} from './certificate/peer-certificate.ts';
export { certificatesToPem, revocationListsPemLength, revocationListsToPem } from './certificate/pem.ts';
export { MAX_DAEMON_NAMES } from './certificate/profile.ts';
export type { RunningSignature, Signer } from './certificate/signer.ts';
export { spiffeBundle } from './certificate/spiffe-bundle.ts';
export {
  daemonSpiffeId,
  deviceSpiffeId,
  type LeafSpiffeId,
  parseSpiffeId,
  parseTrustDomain,
  type SpiffeId,
  trustDomainSpiffeId,
} from './certificate/spiffe-id.ts';
export { p256PublicKey, p256Signature, TlsKey } from './certificate/tls-key.ts';
export { type Clock, presentTime, type RunningClock, steadyAfterMs, systemClock } from './clock.ts';
export { nodeCrypto } from './crypto/node.ts';
export type { Awaitable, IdentityKey, PairingCrypto } from './crypto/port.ts';
export {
  type KnownEndpoints,
  nodeEndpoints,
  pairingEndpoints,
  quicEndpoints,
  storeEndpointsByHand,
  storeToldEndpoints,
} from './device/endpoints.ts';
export {
  claimsTheSame,
  defaultDaemon,
  dropEnrollment,
  type Enrollment,
  isOfSameDaemon,
  loadEnrollments,
  type PairedEnrollment,
  type PendingEnrollment,
  setDefaultDaemon,
  storeEnrollment,
} from './device/enrollment.ts';
export { DeviceIdentity, identityFingerprint } from './device/identity.ts';
export { type DeviceId, makeUlid, parseDeviceId, type Ulid } from './device-id.ts';
export {
  authorityOf,
  type Endpoint,
  formatEndpoint,
  isCanonicalEndpoint,
  MAX_ENDPOINT_LENGTH,
  parseEndpoint,
} from './endpoint.ts';
export {
  type EndpointLists,
  listenerKinds,
  MAX_ENDPOINTS,
  parseEndpointLists,
  parseSharedEndpoint,
} from './endpoint-lists.ts';
export { hasCode, IdentityError, type IdentityErrorCode, type IdentityErrorOptions } from './errors.ts';
export { type FileLock, takeAlone, takeByName } from './files/file-lock.ts';
export { mustBeOwnFolder } from './files/home-owner.ts';
export { checkTrusted, readTrusted, type TrustedPathOptions } from './files/trusted-path.ts';
export { type CarryOverOptions, carryOver, revokeNamed, takeEveryGrant } from './fleet/carry-over.ts';
export type { CloningPolicy } from './fleet/clones.ts';
export { putRestored, type Restored, readRestored } from './fleet/restored.ts';
export {
  type AuthenticatedDevice,
  IdentityManager,
  type IdentityManagerOptions,
  type ServerCredential,
} from './identity-manager.ts';
export { installAgain } from './install-again.ts';
export {
  clockToleranceMs,
  defaultPairingLimits,
  listedAfterEndMs,
  MAX_PAIRING_MESSAGE_BYTES,
  type PairingLimits,
} from './limits.ts';
export { type PairingCode, parsePairingCode } from './pairing/code.ts';
export type {
  AwaitUpdate,
  ConfirmReply,
  ExchangeReply,
  OpenReply,
  PairingChannel,
} from './pairing/daemon.ts';
export type { ApprovalChoice, MintedCode } from './pairing/desk.ts';
export { awaitPairing, type PairingDevice, type PairingPeer, requestPairing } from './pairing/device.ts';
export { MAX_NAME_LENGTH, parseDeviceKind, parseDeviceName, parseDeviceRole } from './pairing/name.ts';
export type { DueBounds, Pairing, PairingEvent, PairingRequest, PairingState } from './pairing/state.ts';
export { dueBounds, isDue, step } from './pairing/state.ts';
export { reasonOf, refusalOf } from './reason.ts';
export { type ListenerErrors, type RegistryListener, RegistryListeners } from './registry/listeners.ts';
export type {
  AuthorityRecord,
  AuthorityState,
  CertificateRecord,
  CertificateStanding,
  CertificateState,
  CloneSign,
  Device,
  DeviceKind,
  DeviceRole,
  Registry,
  RegistryCounts,
  RegistryEvent,
  RegistryReader,
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
export { type Actor, roleMissing } from './registry/transact-by.ts';
export type { KeyProof, RenewalReply } from './renewal/daemon.ts';
export {
  certificateLifeMs,
  type RecoveryPeer,
  type RenewCall,
  type RenewingDevice,
  recoverCertificate,
  renewalTime,
  renewCertificate,
} from './renewal/device.ts';
export { renewAfterMs } from './renewal/plan.ts';
export {
  type CredentialOptions,
  masterKeyFromCredential,
  masterKeyFromText,
  readCredential,
} from './secret-store/credential.ts';
export { FilesystemSecretStore, type FilesystemSecretStoreOptions } from './secret-store/filesystem.ts';
export { FilesystemSecretReader, hasSecretStore } from './secret-store/filesystem-reader.ts';
export { type KeyFileOptions, masterKeyFromFile, nextMasterKeyForFile } from './secret-store/key-file.ts';
export { MasterKey, type NextMasterKey } from './secret-store/master-key.ts';
export { MemorySecretStore } from './secret-store/memory.ts';
export {
  masterKeyFromPassphrase,
  nextMasterKeyForPassphrase,
  type PassphraseOptions,
  type ScryptCost,
} from './secret-store/passphrase.ts';
export { checkStrength } from './secret-store/passphrase-strength.ts';
export {
  MAX_SECRET_BYTES,
  type SecretName,
  type SecretReader,
  type SecretStore,
} from './secret-store/port.ts';
export {
  checkPrivate,
  makeParents,
  quoted,
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  withStoreErrors,
} from './secret-store/private-file.ts';
export { parseVisibleText, printable } from './visible-text.ts';
