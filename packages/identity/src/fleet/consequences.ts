// What follows from a change of a device or a certificate: audit rows, events, and whether calls are checked again. One table
// for each; change.ts carries them out.

import { bytesToHex } from '@noble/curves/utils.js';
import { certificateFacts, deviceFacts } from '../audit/audited-facts.ts';
import type { AuditEvent } from '../audit/entry.ts';
import type { Ulid } from '../device-id.ts';
import type { ActorName } from '../registry/actor.ts';
import type { RegistryEvent } from '../registry/port.ts';
import { sameBytes } from '../same-bytes.ts';
import type { CertificateEvent, CertificateRecord, CertificateState } from './certificate-state.ts';
import type { Device } from './device.ts';
import type { DeviceEvent } from './device-state.ts';

/** When and why something changes. */
export interface Cause {
  readonly at: Date;
  /** Who did it; undefined for the daemon itself. */
  readonly by?: ActorName | undefined;
  /** Set when a restore copies the change from the registry that it replaces. */
  readonly isRestore?: boolean;
}

type Row = Omit<AuditEvent, 'at'>;

export interface DeviceChange<Event extends DeviceEvent = DeviceEvent> {
  /** Undefined for a device that is new. */
  readonly before: Device | undefined;
  readonly after: Device;
  readonly event: Event;
  readonly cause: Cause;
}

type DeviceTable<Result> = {
  readonly [Type in DeviceEvent['type']]: (
    change: DeviceChange<Extract<DeviceEvent, { type: Type }>>,
  ) => Result;
};

const none = () => [];

/** The audit rows of each event. `use`, `recover` and `lose_certificate` are in the certificate's rows. */
const deviceRows: DeviceTable<readonly Row[]> = {
  approve: (change) => {
    const { event, after, cause } = change;
    const { pairingId, expiresAt, automatic } = event.approval;
    const detail = {
      device: after.id,
      name: after.name,
      identity_key: bytesToHex(after.identityKey),
      expires_at: expiresAt.getTime(),
      ...(automatic && { automatic }),
      ...by(cause),
    };
    return [
      { action: 'request.approved', subject: pairingId, detail },
      ...roleRows(change),
      ...hostNameRows(change),
      ...labelRows(change),
      ...(hasOtherKey(change)
        ? [{ action: 'device.identity_key_replaced', subject: after.id, detail: {} } as const]
        : []),
    ];
  },
  use: none,
  see: none,
  register: none,
  recover: none,
  lose_certificate: none,
  rename: ({ after: { id, name }, cause }) => [
    { action: 'device.renamed', subject: id, detail: { name, ...by(cause) } },
  ],
  set_role: (change) => roleRows(change),
  set_host_names: (change) => hostNameRows(change),
  set_labels: (change) => labelRows(change),
  suspect: ({ after: { id, state }, event: { serial, source, sign } }) => [
    { action: 'certificate.reused', subject: serial, detail: { device: id, source, sign } },
    ...(state === 'quarantined'
      ? [{ action: 'device.quarantined', subject: id, detail: { serial } } as const]
      : []),
  ],
  ask_recovery: ({ after: { id }, event: { reason, source, possibleCopy } }) => [
    {
      action: 'recovery.asked',
      subject: id,
      detail: { reason, source, ...(possibleCopy && { possible_copy: true }) },
    },
  ],
  release: ({ after, cause }) => [
    {
      action: 'device.released',
      subject: after.id,
      detail: {
        ...('recovery' in after && after.recovery && { recovery: 'allowed' }),
        ...by(cause),
      },
    },
  ],
  revoke: ({ after: { id }, event: { reason }, cause }) => [
    { action: 'device.revoked', subject: id, detail: { reason, ...by(cause) } },
  ],
  revoke_again: (change) => carriedOver(change),
  restore: (change) => carriedOver(change),
  take_grants: (change) => carriedOver(change),
};

export function auditOfDevice(change: DeviceChange): readonly Row[] {
  // The table has one function for each type of event; TypeScript does not see that they belong together.
  const rows = deviceRows[change.event.type] as (change: DeviceChange) => readonly Row[];
  return rows(change);
}

/** The events of a change. A device that loses rights is announced whatever led to that. */
export function eventsOfDevice({ before, after, event, cause }: DeviceChange): RegistryEvent[] {
  const { id: deviceId, name, role, state } = after;
  const events: RegistryEvent[] = [];
  if (event.type === 'suspect') {
    const { serial, source, sign } = event;
    const quarantined = state === 'quarantined';
    events.push({ type: 'clone_suspected', deviceId, name, serial, source, at: cause.at, quarantined, sign });
  }
  if (event.type === 'ask_recovery') {
    const { reason, possibleCopy, source } = event;
    events.push({ type: 'recovery_asked', deviceId, name, reason, possibleCopy, source, at: cause.at });
  }
  if (role !== (before?.role ?? 'device')) events.push({ type: 'device_role_changed', deviceId, role });
  if (state === before?.state) return events;
  if (state === 'quarantined') events.push({ type: 'device_quarantined', deviceId });
  if (after.state === 'revoked')
    events.push({ type: 'device_revoked', deviceId, reason: after.revocationReason });
  return events;
}

/** Whether the change revokes the device. One that was revoked before is not revoked again. */
export function revokesDevice({ before, after }: DeviceChange): boolean {
  return after.state === 'revoked' && before?.state !== 'revoked';
}

/** Why this change ends every certificate of the device; undefined when the certificates stay. */
export function endOfCertificates(change: DeviceChange): string | undefined {
  const { after } = change;
  if (after.state === 'revoked' && revokesDevice(change)) return after.revocationReason;
  return hasOtherKey(change) ? 'identity key replaced' : undefined;
}

function hasOtherKey({ before, after }: DeviceChange): boolean {
  return before !== undefined && !sameBytes(before.identityKey, after.identityKey);
}

function roleRows({ before, after: { id, role }, cause }: DeviceChange): readonly Row[] {
  if (role === (before?.role ?? 'device')) return [];
  return [{ action: 'device.role_changed', subject: id, detail: { role, ...by(cause) } }];
}

function hostNameRows({ before, after: { id, hostNames }, cause }: DeviceChange): readonly Row[] {
  const names = hostNames.join();
  if (names === (before?.hostNames ?? []).join()) return [];
  return [{ action: 'device.host_names_changed', subject: id, detail: { host_names: names, ...by(cause) } }];
}

function labelRows({ before, after: { id, labels }, cause }: DeviceChange): readonly Row[] {
  const words = labels.join();
  if (words === (before?.labels ?? []).join()) return [];
  return [{ action: 'device.labels_changed', subject: id, detail: { labels: words, ...by(cause) } }];
}

function carriedOver({ after }: DeviceChange): readonly Row[] {
  return [{ action: 'device.carried_over', subject: after.id, detail: deviceFacts(after) }];
}

const by = (cause: Cause) => (cause.by ? { by: cause.by } : {});

/** Where a new certificate comes from. */
export type CertificateOrigin =
  | { readonly type: 'pairing'; readonly pairingId: Ulid }
  | { readonly type: 'renewal'; readonly previous: string }
  | { readonly type: 'recovery'; readonly source: string }
  /** The daemon makes one for its listeners. */
  | { readonly type: 'listeners' }
  /** A restore adds a certificate that is newer than the backup, because it was revoked. */
  | { readonly type: 'restore'; readonly revokedAt: Date; readonly reason: string };

/** The state in which a certificate starts. */
export const firstState: Readonly<Record<CertificateOrigin['type'], CertificateState>> = {
  pairing: 'issued',
  renewal: 'issued',
  recovery: 'issued',
  listeners: 'active',
  restore: 'revoked',
};

export function auditOfNewCertificate(certificate: CertificateRecord, origin: CertificateOrigin): Row {
  const row = (action: Row['action'], detail: Row['detail']) => ({
    action,
    subject: certificate.serial,
    detail: { ...certificateFacts(certificate), ...detail },
  });
  switch (origin.type) {
    case 'pairing':
      return row('certificate.issued', { pairing: origin.pairingId });
    case 'renewal':
      return row('certificate.renewed', { previous: origin.previous });
    case 'recovery':
      return row('certificate.recovered', { source: origin.source });
    case 'listeners':
      return row('daemon.certificate_issued', {});
    case 'restore':
      return row('certificate.carried_over', {
        revoked_at: origin.revokedAt.getTime(),
        reason: origin.reason,
      });
  }
}

/** The audit row and the event of a certificate. One that ends with its device has neither: the device's say it. */
export function consequencesOfCertificate(
  { serial, subject }: Pick<CertificateRecord, 'serial' | 'subject'>,
  event: CertificateEvent,
  cause: Cause,
): { readonly row?: Row; readonly event?: RegistryEvent } {
  const device = subject.id;
  const restore = cause.isRestore ? { restore: true } : {};
  switch (event.type) {
    case 'use':
      return { row: { action: 'certificate.activated', subject: serial, detail: { device } } };
    case 'supersede': {
      const detail = { device, ...(event.by && { by: event.by }), ...restore };
      return {
        row: { action: 'certificate.superseded', subject: serial, detail },
        event: { type: 'certificate_superseded', serial, deviceId: device },
      };
    }
    case 'revoke': {
      const detail = { device, reason: event.reason, ...by(cause), ...restore };
      return {
        row: { action: 'certificate.revoked', subject: serial, detail },
        event: { type: 'certificate_revoked', serial, deviceId: device },
      };
    }
    case 'end':
      return {};
  }
}

/** Whether a call that was checked before this event has to be checked again. */
export const endsChecks: Readonly<Record<RegistryEvent['type'], boolean>> = {
  device_revoked: true,
  device_quarantined: true,
  device_role_changed: true,
  certificate_revoked: true,
  certificate_superseded: true,
  authority_retired: true,
  // Nobody loses rights by these.
  pairing_changed: false,
  clone_suspected: false,
  recovery_asked: false,
  authorities_changed: false,
  changes_missed: true,
  renewal_asked: false,
};
