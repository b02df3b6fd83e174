export {
  CertificateAuthority,
  type CertificateAuthorityOptions,
  type IssuingOptions,
  MAX_DEVICE_LIFE_MS,
  MIN_DEVICE_LIFE_MS,
  makeIssuing,
  makeRoot,
  type RootOptions,
} from './authority.ts';
export { ChainJudge, type JudgedChain, MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES } from './chain-verdict.ts';
export { isDnsName } from './host-name.ts';
export type { IssuedCertificate } from './issue.ts';
export { LocalSigner } from './local-signer.ts';
export {
  type AuthorityCertificate,
  type CertificateSummary,
  type PeerCertificate,
  readAuthorityCertificate,
  readPeerCertificate,
} from './peer-certificate.ts';
export { certificatesToPem, revocationListsPemLength, revocationListsToPem } from './pem.ts';
export { MAX_DAEMON_NAMES } from './profile.ts';
export { renewalDueAt } from './renewal-share.ts';
export { serialsIn } from './serial.ts';
export type { RunningSignature, Signer } from './signer.ts';
export { spiffeBundle } from './spiffe-bundle.ts';
export {
  daemonSpiffeId,
  deviceSpiffeId,
  type LeafSpiffeId,
  parseSpiffeId,
  parseTrustDomain,
  type SpiffeId,
  trustDomainSpiffeId,
} from './spiffe-id.ts';
export { p256PublicKey, p256Signature, TlsKey } from './tls-key.ts';
