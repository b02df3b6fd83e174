// The device's side for a browser: the protocols, its records and its chain checks. No module of Node's is imported from here.

export { judgeChainOfOurs, trustDomainOfRoot } from '../certificate/chain-of-ours.ts';
export { systemClock } from '../clock.ts';
export type { DeviceCrypto, DeviceTlsKey, IdentityKey } from '../crypto/port.ts';
export { makeUlid } from '../device-id.ts';
export { parseEndpoint } from '../endpoint.ts';
export { type PairingCode, parsePairingCode } from '../pairing/code.ts';
export { awaitPairing, type PairingDevice, requestPairing } from '../pairing/device.ts';
export { parseDeviceName } from '../pairing/name.ts';
export { afterRefusal, final, recoverable } from '../renewal/after-refusal.ts';
export { type RenewingDevice, recoverCertificate, renewCertificate, serialOf } from '../renewal/device.ts';
export { type Instant, RenewalSchedule } from '../renewal/schedule.ts';
export { sameBytes } from '../same-bytes.ts';
export { checkSecret, type SecretStore, secretNotFound } from '../secret-store/port.ts';
export { parseWebEndpoint } from '../web-endpoint.ts';
export { dropSecret } from './drop-secret.ts';
export { type KnownEndpoints, storeToldEndpoints, tryLast, webEndpoints } from './endpoints.ts';
export {
  defaultDaemon,
  dropEnrollment,
  type Enrollment,
  isOfSameDaemon,
  loadEnrollments,
  type PairedEnrollment,
  type PendingEnrollment,
  setDefaultDaemon,
} from './enrollment.ts';
export { DeviceIdentity } from './identity.ts';
