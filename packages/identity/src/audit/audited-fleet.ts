// Replays the audit rows of devices and certificates.

import { endWithDeviceAfterMs } from './audited-facts.ts';
import type { AuditedRow, Changing, Holds } from './audited-row.ts';
import type { AuditAction } from './entry.ts';

export interface AuditedDevice {
  readonly facts: Changing;
  revokedAtMs: number | undefined;
  /** The times at which all its certificates were revoked: by its revocation, or by another identity key. */
  readonly ends: { readonly seq: number; readonly atMs: number }[];
}

export interface AuditedCertificate {
  readonly facts: Changing;
  /** Sequence number of the audit row that created it. */
  readonly seq: number;
  revokedAtMs: number | undefined;
}

/** Facts that a device loses when it is revoked. */
const suspicions = [
  'clone_seen_at',
  'clone_reported_at',
  'certificate_revoked_at',
  'recovery_asked_at',
  'recovery_released_at',
];

type FleetAction = Extract<
  AuditAction,
  `certificate.${string}` | `device.${string}` | 'daemon.certificate_issued' | 'recovery.asked'
>;

export class AuditedFleet {
  readonly devices = new Map<string, AuditedDevice>();
  readonly certificates = new Map<string, AuditedCertificate>();
  readonly #holds: Holds;

  constructor(holds: Holds) {
    this.#holds = holds;
  }

  // A record, so that the compiler reports a missing action.
  readonly changes: Readonly<Record<FleetAction, (row: AuditedRow) => void>> = {
    'daemon.certificate_issued': (row) => this.#addCertificate(row, 'active'),
    'certificate.issued': (row) => this.#addCertificate(row, 'issued'),
    'certificate.renewed': (row) => this.#addCertificate(row, 'issued'),
    'certificate.recovered': (row) => {
      this.#addCertificate(row, 'issued');
      this.#device(row.detail.device, ({ facts }) => {
        delete facts.certificate_revoked_at;
        delete facts.recovery_released_at;
      });
    },
    // The plan of renewals is not compared with the audit.
    'certificate.renewal_asked': () => {},
    'certificate.activated': ({ subject, detail }) => {
      this.#setCertificate(subject, 'active');
      this.#device(detail.device, ({ facts }) => {
        facts.state = 'active';
      });
    },
    'certificate.superseded': ({ subject }) => this.#setCertificate(subject, 'superseded'),
    'certificate.revoked': ({ subject, atMs, detail }) => {
      this.#revokeCertificate(subject, atMs);
      // A restore carries the device over separately.
      if (detail.restore) return;
      this.#device(detail.device, ({ facts }) => {
        if (facts.state === 'revoked') return;
        facts.certificate_revoked_at = atMs;
        delete facts.recovery_released_at;
      });
    },
    'certificate.reused': ({ atMs, detail }) =>
      this.#device(detail.device, ({ facts }) => {
        facts.clone_seen_at = atMs;
        facts.clone_reported_at = atMs;
      }),
    'certificate.carried_over': (row) => {
      this.#addCertificate(row, 'issued');
      this.#revokeCertificate(row.subject, Number(row.detail.revoked_at));
    },

    'recovery.asked': ({ subject, atMs }) =>
      this.#device(subject, ({ facts }) => {
        facts.recovery_asked_at = atMs;
        delete facts.recovery_released_at;
      }),
    'device.revoked': (row) =>
      this.#device(row.subject, (device) => {
        for (const over of suspicions) delete device.facts[over];
        device.facts.state = 'revoked';
        device.facts.reason = row.detail.reason!;
        endAll(device, row, true);
      }),
    'device.carried_over': (row) => this.#carryDevice(row),
    'device.quarantined': ({ subject }) =>
      this.#device(subject, ({ facts }) => {
        facts.state = 'quarantined';
        delete facts.recovery_released_at;
      }),
    'device.released': ({ subject, atMs }) =>
      this.#device(subject, ({ facts }) => {
        if (facts.state === 'quarantined') facts.state = 'active';
        delete facts.clone_seen_at;
        if (facts.recovery_asked_at === undefined) delete facts.recovery_released_at;
        else facts.recovery_released_at = atMs;
        delete facts.recovery_asked_at;
      }),
    'device.renamed': ({ subject, detail }) =>
      this.#device(subject, ({ facts }) => {
        facts.name = detail.name!;
      }),
    'device.role_changed': ({ subject, detail }) =>
      this.#device(subject, ({ facts }) => {
        facts.role = detail.role!;
      }),
    'device.host_names_changed': ({ subject, detail }) =>
      this.#device(subject, ({ facts }) => {
        if (detail.host_names) facts.host_names = detail.host_names;
        else delete facts.host_names;
      }),
    'device.labels_changed': ({ subject, detail }) =>
      this.#device(subject, ({ facts }) => {
        if (detail.labels) facts.labels = detail.labels;
        else delete facts.labels;
      }),
    'device.identity_key_replaced': (row) =>
      this.#device(row.subject, (device) => endAll(device, row, false)),
  };

  /** An approved request: its device is new, or is paired again. */
  approve({ atMs, detail }: AuditedRow): void {
    const id = String(detail.device);
    if (!this.#holds(id)) return;
    const known = this.devices.get(id);
    const facts: Changing = known?.facts ?? { role: 'device', state: 'approved', created_at: atMs };
    if (known && facts.identity_key !== detail.identity_key) {
      facts.state = 'approved';
      delete facts.clone_seen_at;
    }
    facts.identity_key = detail.identity_key!;
    facts.name = detail.name!;
    for (const over of suspicions) if (over !== 'clone_seen_at') delete facts[over];
    if (!known) this.devices.set(id, { facts, revokedAtMs: undefined, ends: [] });
  }

  #device(id: unknown, change: (device: AuditedDevice) => void): void {
    const device = this.devices.get(String(id));
    if (device) change(device);
  }

  #carryDevice(row: AuditedRow): void {
    if (!this.#holds(row.subject)) return;
    const known = this.devices.get(row.subject);
    const device: AuditedDevice = {
      facts: { ...row.detail },
      revokedAtMs: known?.revokedAtMs,
      ends: known?.ends ?? [],
    };
    this.devices.set(row.subject, device);
    const isRevoked = device.facts.state === 'revoked' && known?.facts.state !== 'revoked';
    if (isRevoked || (known && known.facts.identity_key !== device.facts.identity_key))
      endAll(device, row, isRevoked);
  }

  #addCertificate({ seq, subject, detail }: AuditedRow, state: string): void {
    if (!this.#holds(String(detail.device ?? subject))) return;
    const { fingerprint, issuer, not_before, not_after, created_at, device, recovered } = detail;
    const facts = { fingerprint, issuer, not_before, not_after, created_at } as Changing;
    if (device !== undefined) facts.device = device;
    if (recovered !== undefined) facts.recovered = recovered;
    this.certificates.set(subject, { facts: { ...facts, state }, seq, revokedAtMs: undefined });
  }

  #setCertificate(serial: string, state: string): void {
    const certificate = this.certificates.get(serial);
    if (certificate) certificate.facts.state = state;
  }

  #revokeCertificate(serial: string, atMs: number): void {
    this.#setCertificate(serial, 'revoked');
    const certificate = this.certificates.get(serial);
    if (certificate) certificate.revokedAtMs = atMs;
  }
}

function endAll(device: AuditedDevice, { seq, atMs }: AuditedRow, isRevoked: boolean): void {
  device.ends.push({ seq, atMs });
  if (isRevoked) device.revokedAtMs = atMs;
}

/** The end of a certificate, including its end by the revocation of its device. */
export function endOf(
  { facts, seq, revokedAtMs }: AuditedCertificate,
  device: AuditedDevice | undefined,
): { readonly state: string; readonly revokedAtMs: number | undefined } {
  if (revokedAtMs !== undefined) return { state: 'revoked', revokedAtMs };
  const end = device?.ends.find(
    (each) =>
      each.seq > seq &&
      (facts.state !== 'superseded' || Number(facts.not_after) > endWithDeviceAfterMs(each.atMs)),
  );
  return end ? { state: 'revoked', revokedAtMs: end.atMs } : { state: String(facts.state), revokedAtMs };
}
