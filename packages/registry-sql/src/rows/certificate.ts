// Converts a certificate to a row, and back; reads its standing.

import type {
  CertificatePace,
  CertificateRecord,
  CertificateStanding,
  CertificateState,
} from '@palyra/identity/registry';
import type { CertificatesTable } from '../tables.ts';
import { authorityState } from './authority.ts';
import { bytes, id, instant, integer, milliseconds, oneOf, optional, type Row, text } from './column.ts';
import { deviceRole, deviceState } from './device.ts';

const certificateState = oneOf<CertificateState>({ issued: 1, active: 1, superseded: 1, revoked: 1 });
const subjectKind = oneOf<CertificateRecord['subject']['kind']>({ device: 1, daemon: 1 });

export function certificateRow(certificate: CertificateRecord): CertificatesTable {
  return {
    serial: certificate.serial,
    fingerprint: certificate.fingerprint,
    key_sha256: certificate.keySha256,
    subject_kind: certificate.subject.kind,
    subject_id: certificate.subject.id,
    state: certificate.state,
    not_before: milliseconds(certificate.notBefore),
    not_after: milliseconds(certificate.notAfter),
    issuer_id: certificate.issuerId,
    created_at: milliseconds(certificate.createdAt),
    der: certificate.der,
    recovered: certificate.recovered ? 1 : 0,
    renew_at: certificate.renewAt ? milliseconds(certificate.renewAt) : null,
  };
}

export function readCertificate(row: Row): CertificateRecord {
  return {
    ...readCertificateState(row),
    fingerprint: text(row, 'fingerprint'),
    keySha256: bytes(row, 'key_sha256'),
    notBefore: instant(row, 'not_before'),
    notAfter: instant(row, 'not_after'),
    issuerId: id(row, 'issuer_id'),
    der: bytes(row, 'der'),
    createdAt: instant(row, 'created_at'),
    recovered: integer(row, 'recovered') === 1,
    renewAt: optional(instant)(row, 'renew_at'),
  };
}

export function readCertificateState(row: Row): Pick<CertificateRecord, 'serial' | 'subject' | 'state'> {
  return {
    serial: text(row, 'serial'),
    subject: { kind: subjectKind(row, 'subject_kind'), id: id(row, 'subject_id') },
    state: certificateState(row, 'state'),
  };
}

export function readPace(row: Row): CertificatePace {
  const createdAt = optional(instant)(row, 'newest_at');
  return {
    newest: createdAt && { createdAt, renewAt: optional(instant)(row, 'renew_at') },
    burstBeganAt: optional(instant)(row, 'burst_began_at'),
    unpacedEndsAt: optional(instant)(row, 'unpaced_ends_at'),
  };
}

export function readStanding(row: Row): CertificateStanding {
  const kind = subjectKind(row, 'subject_kind');
  return {
    serial: text(row, 'serial'),
    subjectKind: kind,
    subjectId: id(row, 'subject_id'),
    certificateState: certificateState(row, 'certificate_state'),
    notBeforeMs: integer(row, 'not_before'),
    notAfterMs: integer(row, 'not_after'),
    // A certificate without its device is never valid.
    deviceState: kind === 'device' ? deviceState(row, 'device_state') : undefined,
    deviceRole: kind === 'device' ? deviceRole(row, 'device_role') : undefined,
    deviceName: kind === 'device' ? text(row, 'device_name') : undefined,
    renewAtMs: optional(integer)(row, 'renew_at'),
    issuerId: id(row, 'issuer_id'),
    issuerState: authorityState(row, 'issuer_state'),
  };
}
