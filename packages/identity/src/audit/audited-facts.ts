// The facts that an audit row records about a new row of a table: enough to detect later changes from outside
// (audited-state.ts). Never secrets.

import { hash } from 'node:crypto';
import { bytesToHex } from '@noble/curves/utils.js';
import type { CertificateRecord } from '../fleet/certificate-state.ts';
import type { AdmittedDevice, Device, QuarantinedDevice } from '../fleet/device.ts';
import { clockToleranceMs } from '../limits.ts';
import { lvCat } from '../lv.ts';
import type { PairingRequest } from '../pairing/state.ts';
import type { AuthorityRecord } from '../registry/port.ts';

export type Facts = Readonly<Record<string, string | number>>;

/** The facts of a device, without empty ones. Its own description and its last contact are not audited. */
export function deviceFacts(device: Device): Facts {
  return {
    identity_key: bytesToHex(device.identityKey),
    name: device.name,
    role: device.role,
    state: device.state,
    created_at: device.createdAt.getTime(),
    ...(device.hostNames.length > 0 && { host_names: device.hostNames.join() }),
    ...(device.labels.length > 0 && { labels: device.labels.join() }),
    ...(device.state === 'revoked' ? { reason: device.revocationReason } : suspicionFacts(device)),
  };
}

function suspicionFacts(device: AdmittedDevice | QuarantinedDevice): Facts {
  const { cloneSeenAt, cloneReportedAt, certificateRevokedAt, recovery } = device;
  return {
    ...(cloneSeenAt && { clone_seen_at: cloneSeenAt.getTime() }),
    ...(cloneReportedAt && { clone_reported_at: cloneReportedAt.getTime() }),
    ...(certificateRevokedAt && { certificate_revoked_at: certificateRevokedAt.getTime() }),
    ...(recovery && { [`recovery_${recovery.state}_at`]: recovery.at.getTime() }),
  };
}

/**
 * A revocation of a device at this time also revokes its superseded certificates that expire after the returned time: a
 * program whose clock is behind would still accept a certificate that has just expired. Certificates in use are revoked
 * whatever their dates are, because the clock may be days ahead at that moment and right again later.
 */
export function endWithDeviceAfterMs(atMs: number): number {
  return atMs - clockToleranceMs;
}

/** The facts of a new certificate. */
export function certificateFacts(
  certificate: Pick<
    CertificateRecord,
    'subject' | 'fingerprint' | 'issuerId' | 'notBefore' | 'notAfter' | 'createdAt' | 'recovered'
  >,
): Facts {
  const { subject, fingerprint, issuerId, notBefore, notAfter, createdAt, recovered } = certificate;
  return {
    ...(subject.kind === 'device' && { device: subject.id }),
    fingerprint,
    issuer: issuerId,
    not_before: notBefore.getTime(),
    not_after: notAfter.getTime(),
    created_at: createdAt.getTime(),
    ...(recovered && { recovered: 1 }),
  };
}

export function authorityFacts(authority: AuthorityRecord): Facts {
  const { tier, state, serial, fingerprint, notBefore, notAfter } = authority;
  return {
    tier,
    state,
    serial,
    fingerprint,
    not_before: notBefore.getTime(),
    not_after: notAfter.getTime(),
  };
}

/** SHA-256 over everything in a request, hex. An approval is of exactly this. */
export function requestHash(request: PairingRequest): string {
  const { deviceId, identityKey, tlsKey, name, kind, platform, words, source, continuity } = request;
  const text = [deviceId, name, kind, platform, words, source, continuity, String(request.failedGuesses)];
  return hash('sha256', lvCat(identityKey, tlsKey, request.sealedAwaitKey, ...text));
}
