// A certificate gives way to a newer one of its device.

import type { RegistryTransaction } from '../registry/port.ts';
import type { CertificateRecord } from './certificate-state.ts';

/** @param by serial of the newer one. */
export async function supersede(
  tx: RegistryTransaction,
  { serial, state, subject }: CertificateRecord,
  by: string,
  at: Date,
): Promise<void> {
  if (subject.kind !== 'device') throw new TypeError('a daemon certificate is not superseded');
  await tx.moveCertificate(serial, state, 'superseded');
  await tx.appendAudit({
    at,
    action: 'certificate.superseded',
    subject: serial,
    detail: { device: subject.id, by },
  });
  tx.emit({ type: 'certificate_superseded', serial, deviceId: subject.id });
}
