// The state that the audit's rows lead to: what each table must say, if nobody wrote to it from outside.

import { endWithDeviceAfterMs, type Facts } from './audited-facts.ts';
import type { AuditAction, AuditRow } from './entry.ts';

type Changing = Record<string, string | number>;

export interface AuditedDevice {
  readonly facts: Changing;
  revokedAtMs: number | undefined;
  /** When everything that it had obtained was ended: its revocation, or another identity key. */
  readonly ends: { readonly seq: number; readonly atMs: number }[];
}

export interface AuditedCertificate {
  readonly facts: Changing;
  /** Of the row that made it. */
  readonly seq: number;
  revokedAtMs: number | undefined;
}

/** What a device has until it is revoked. */
const suspicions = [
  'clone_seen_at',
  'clone_reported_at',
  'certificate_revoked_at',
  'recovery_asked_at',
  'recovery_released_at',
];

interface Happened {
  readonly seq: number;
  readonly atMs: number;
  readonly subject: string;
  readonly detail: Facts & Readonly<Record<string, unknown>>;
}

/**
 * One part of it: everything about a share of the devices, certificates and pairings, so that a registry of any size is
 * compared in parts that fit in memory. Authorities and settings are few, and in every part.
 */
export class AuditedState {
  readonly devices = new Map<string, AuditedDevice>();
  readonly certificates = new Map<string, AuditedCertificate>();
  readonly pairings = new Map<string, Changing>();
  readonly authorities = new Map<string, Changing>();
  readonly settings = new Map<string, string>();
  readonly #part: number;
  readonly #parts: number;
  readonly #pairingOfSerial = new Map<string, string>();

  constructor(part: number, parts: number) {
    this.#part = part;
    this.#parts = parts;
  }

  /** Whether what has this id is in this part. A certificate goes with its device. */
  holds(id: string): boolean {
    if (this.#parts === 1) return true;
    let sum = 0;
    for (let at = 0; at < id.length; at += 1) sum = (Math.imul(sum, 31) + id.charCodeAt(at)) >>> 0;
    return sum % this.#parts === this.#part;
  }

  /** In order of `seq`. */
  apply({ action, seq, atMs, subject, detailJson }: AuditRow): void {
    if (Object.hasOwn(this.#changes, action))
      this.#changes[action as AuditAction]({ seq, atMs, subject, detail: JSON.parse(detailJson) });
  }

  /** What is not in every part. */
  forget(): void {
    for (const each of [this.devices, this.certificates, this.pairings, this.#pairingOfSerial]) each.clear();
  }

  // A record, so that the compiler finds an action that is missing here.
  readonly #changes: Readonly<Record<AuditAction, (row: Happened) => void>> = {
    'daemon.created': ({ subject, detail }) => {
      this.settings.set('daemon_id', subject);
      this.settings.set('trust_domain', String(detail.trustDomain));
      this.settings.set('authority_keys', String(detail.keys));
    },
    'daemon.restored': ({ atMs, detail }) => {
      this.settings.set('restored', JSON.stringify({ atMs, madeAtMs: detail.made_at }));
    },
    'daemon.certificate_issued': (row) => this.#addCertificate(row, 'active'),

    'authority.created': ({ subject, detail }) => void this.authorities.set(subject, { ...detail }),
    'authority.replaced': ({ subject, detail }) => {
      this.#setAuthority(subject, 'trusted');
      // By one that was there before; a new one has a row of its own.
      if (detail.by !== undefined) this.#setAuthority(String(detail.by), 'active');
    },
    'authority.retired': ({ subject }) => this.#setAuthority(subject, 'retired'),
    'root.prepared': ({ detail }) => this.#setRotation(detail),
    'root.activated': ({ detail }) => {
      this.#swapRoots(String(detail.root));
      this.#setRotation(detail);
    },
    'root.finished': ({ detail }) => {
      for (const facts of this.authorities.values())
        if (facts.tier === 'root' && facts.state === 'trusted') facts.state = 'retired';
      this.#setRotation(detail);
    },
    'root.rolled_back': ({ subject, detail }) => {
      if (detail.phase === 'none') this.#setAuthority(subject, 'retired');
      else this.#swapRoots(String(detail.root));
      this.#setRotation(detail);
    },

    'code.minted': ({ atMs, subject, detail }) => {
      if (!this.holds(subject)) return;
      this.pairings.set(subject, {
        state: 'waiting',
        code_kind: detail.kind!,
        created_at: atMs,
        expires_at: detail.expires_at!,
        guesses_left: detail.guesses!,
        guesses_taken: 0,
        ...(detail.autoApprove && { auto_approved_by: detail.by ?? '' }),
      });
    },
    'code.guessed': ({ subject, detail }) =>
      this.#pairing(subject, (facts) => {
        facts.guesses_left = detail.left!;
        facts.guesses_taken = Number(facts.guesses_taken) + 1;
      }),
    'code.exhausted': (row) => this.#endPairing(row, 'exhausted'),
    'code.expired': (row) => this.#endPairing(row, 'expired'),
    'code.withdrawn': (row) => this.#endPairing(row, 'rejected'),
    'request.received': ({ subject, detail }) =>
      this.#pairing(subject, (facts) => {
        facts.state = 'pending_approval';
        facts.expires_at = detail.expires_at!;
        facts.request = detail.request!;
      }),
    'request.approved': (row) => {
      this.#pairing(row.subject, (facts) => {
        facts.state = 'approved';
        facts.expires_at = row.detail.expires_at!;
      });
      this.#approveDevice(row);
    },
    'request.rejected': (row) => this.#endPairing(row, 'rejected'),
    'request.expired': (row) => this.#endPairing(row, 'expired'),

    'certificate.issued': (row) => {
      this.#addCertificate(row, 'issued');
      this.#pairing(String(row.detail.pairing), (facts) => {
        facts.state = 'issued';
        facts.serial = row.subject;
        facts.expires_at = row.detail.not_after!;
        this.#pairingOfSerial.set(row.subject, String(row.detail.pairing));
      });
    },
    'certificate.renewed': (row) => this.#addCertificate(row, 'issued'),
    'certificate.recovered': (row) => {
      this.#addCertificate(row, 'issued');
      this.#device(row.detail.device, ({ facts }) => {
        delete facts.certificate_revoked_at;
        delete facts.recovery_released_at;
      });
    },
    'certificate.activated': ({ subject, detail }) => {
      this.#setCertificate(subject, 'active');
      this.#device(detail.device, ({ facts }) => {
        facts.state = 'active';
      });
      this.#pairing(this.#pairingOfSerial.get(subject) ?? '', (facts) => {
        facts.state = 'active';
        delete facts.expires_at;
      });
    },
    'certificate.superseded': ({ subject }) => this.#setCertificate(subject, 'superseded'),
    'certificate.revoked': ({ subject, atMs, detail }) => {
      this.#revokeCertificate(subject, atMs);
      // A restore carries its device over by itself.
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
    'device.identity_key_replaced': (row) =>
      this.#device(row.subject, (device) => endAll(device, row, false)),
    'capability.executed': () => {},
  };

  #device(id: unknown, change: (device: AuditedDevice) => void): void {
    const device = this.devices.get(String(id));
    if (device) change(device);
  }

  #approveDevice({ atMs, detail }: Happened): void {
    const id = String(detail.device);
    if (!this.holds(id)) return;
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

  #carryDevice(row: Happened): void {
    if (!this.holds(row.subject)) return;
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

  #addCertificate({ seq, subject, detail }: Happened, state: string): void {
    if (!this.holds(String(detail.device ?? subject))) return;
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

  #pairing(id: string, change: (facts: Changing) => void): void {
    const facts = this.pairings.get(id);
    if (facts) change(facts);
  }

  #endPairing({ subject, detail }: Happened, state: string): void {
    this.#pairing(subject, (facts) => {
      facts.state = state;
      delete facts.expires_at;
      delete facts.serial;
      if (detail.reason !== undefined) facts.reason = detail.reason;
    });
  }

  #setAuthority(id: string, state: string): void {
    const facts = this.authorities.get(id);
    if (facts) facts.state = state;
  }

  #swapRoots(comingId: string): void {
    for (const facts of this.authorities.values()) if (facts.state === 'active') facts.state = 'trusted';
    this.#setAuthority(comingId, 'active');
  }

  #setRotation({ phase, since, root }: Happened['detail']): void {
    const stored = phase === 'none' ? '' : JSON.stringify({ phase, sinceMs: since, rootId: root });
    this.settings.set('root_rotation', stored);
  }
}

function endAll(device: AuditedDevice, { seq, atMs }: Happened, isRevoked: boolean): void {
  device.ends.push({ seq, atMs });
  if (isRevoked) device.revokedAtMs = atMs;
}

/** With what the end of its device did to it. */
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
