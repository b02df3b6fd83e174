export { readPeerCertificate } from '../certificate/peer-certificate.ts';
export { TlsKey } from '../certificate/tls-key.ts';
export { systemClock } from '../clock.ts';
export { nodeCrypto } from '../crypto/node.ts';
export { hasCode, IdentityError } from '../errors.ts';
export { type PairingCode, parsePairingCode } from '../pairing/code.ts';
export { awaitPairing, type PairingDevice, type PairingPeer, requestPairing } from '../pairing/device.ts';
export { afterRefusal, final, recoverable } from '../renewal/after-refusal.ts';
export {
  certificateLifeMs,
  type RecoveryPeer,
  type RenewCall,
  type RenewingDevice,
  recoverCertificate,
  renewalTime,
  renewCertificate,
} from '../renewal/device.ts';
export { renewAfterMs } from '../renewal/plan.ts';
export { type Instant, RenewalSchedule } from '../renewal/schedule.ts';
export { FilesystemSecretStore } from '../secret-store/filesystem.ts';
export { masterKeyFromFile } from '../secret-store/key-file.ts';
export { MemorySecretStore } from '../secret-store/memory.ts';
export {
  type KnownEndpoints,
  nodeEndpoints,
  pairingEndpoints,
  quicEndpoints,
  storeEndpointsByHand,
  storeToldEndpoints,
  webEndpoints,
} from './endpoints.ts';
export {
  defaultDaemon,
  dropEnrollment,
  type Enrollment,
  isOfSameDaemon,
  loadEnrollments,
  makesSameClaims,
  type PairedEnrollment,
  type PendingEnrollment,
  setDefaultDaemon,
  storeEnrollment,
} from './enrollment.ts';
export { DeviceIdentity, identityFingerprint } from './identity.ts';
