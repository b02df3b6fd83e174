// Carries over a restore which certificates were revoked or superseded since the backup.

import { listedAfterEndMs } from '../limits.ts';
import { pageSize, pagesOf } from '../registry/pages.ts';
import type { Registry, RegistryReader, RegistryTransaction } from '../registry/port.ts';
import type { CertificateEvent, CertificateRecord } from './certificate-state.ts';
import { addCertificate, changeCertificate, changeDevice } from './change.ts';
import type { Device } from './device.ts';
import { restoreReason } from './restored.ts';

export async function carryCertificates(
  registry: Registry,
  before: RegistryReader,
  now: Date,
): Promise<void> {
  for await (const page of pagesOf((after) => before.certificates({ limit: pageSize, after }), 'serial')) {
    const changes: ((tx: RegistryTransaction) => Promise<void>)[] = [];
    for (const certificate of page) {
      const known = await registry.certificate({ serial: certificate.serial });
      const change = await certificateChange(certificate, known, before, now);
      if (change) changes.push(change);
    }
    if (changes.length > 0)
      await registry.transact(async (tx) => {
        for (const change of changes) await change(tx);
      });
  }
}

async function certificateChange(
  certificate: CertificateRecord,
  known: CertificateRecord | undefined,
  before: RegistryReader,
  now: Date,
): Promise<((tx: RegistryTransaction) => Promise<void>) | undefined> {
  const { serial, subject, state } = certificate;
  if (subject.kind !== 'device') return undefined;
  switch (state) {
    case 'issued':
    case 'active':
      // A certificate in the backup stays unchanged. An unknown certificate is refused because it is unknown.
      return undefined;
    case 'superseded':
      if (known?.state !== 'issued' && known?.state !== 'active') return undefined;
      return (tx) => changeAgain(tx, known.serial, { type: 'supersede', by: undefined }, now);
    case 'revoked': {
      const listedFrom = now.getTime() - listedAfterEndMs;
      if (known ? known.state === 'revoked' : certificate.notAfter.getTime() < listedFrom) return undefined;
      const [revocation] = await before.revocationsOf({ deviceId: subject.id, serial });
      const reason = revocation?.reason ?? restoreReason;
      const owner = await before.device(subject.id);
      return async (tx) => {
        if (known) await changeAgain(tx, serial, { type: 'revoke', reason }, now);
        else if (owner) await revokeUnknown(tx, certificate, owner, revocation?.at ?? now, reason, now);
      };
    }
    default:
      return unknownState(state);
  }
}

/** Reads the certificate again: it may have been revoked with its device. */
async function changeAgain(
  tx: RegistryTransaction,
  serial: string,
  event: CertificateEvent,
  at: Date,
): Promise<void> {
  const present = await tx.certificate({ serial });
  if (present) await changeCertificate(tx, present, event, { at, isRestore: true });
}

/** Adds a certificate that is newer than the backup, for programs that read revocation lists. */
async function revokeUnknown(
  tx: RegistryTransaction,
  certificate: CertificateRecord,
  owner: Device,
  revokedAt: Date,
  reason: string,
  now: Date,
): Promise<void> {
  // The issuer signs the list. The backup does not have the key of an issuer that it does not know.
  if (!(await tx.authorities()).some(({ id }) => id === certificate.issuerId)) return;
  if (!(await tx.device(owner.id))) {
    const event = { type: 'restore', before: owner, history: 'newer' } as const;
    await changeDevice(tx, undefined, event, { at: now, isRestore: true });
  }
  await addCertificate(tx, certificate, { type: 'restore', revokedAt, reason }, now);
}

function unknownState(state: never): never {
  throw new TypeError(`a restore does not know the state ${state}`);
}
