// Possible cloning: a certificate that was replaced turns up again. The device itself has no use for it any more: a
// certificate is superseded only when its successor is used, and by then the successor is stored. So whoever has the old
// one is a copy of the device, or the device put back from a backup; the operator is told, and can look.

import type { AuditRow } from './audit.ts';
import type { Clock } from './clock.ts';
import type { PairingLimits } from './limits.ts';
import type { CertificateStanding, Registry, RegistryReads } from './registry/port.ts';

/** `report`: it is written down and told. `quarantine`: the device is shut out as well, until the operator decides. */
export type CloningPolicy = 'report' | 'quarantine';

export interface CloneWatchOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'supersededGraceMs' | 'cloneReportMs'>;
  readonly policy: CloningPolicy;
}

export class CloneWatch {
  readonly #options: CloneWatchOptions;

  constructor(options: CloneWatchOptions) {
    this.#options = options;
  }

  /**
   * To be called for a certificate that was refused because it is superseded. Reports it, unless it was replaced or
   * reported a moment ago: a copy that knocks without end costs a read each time and fills nothing.
   * @param source address that the connection came from.
   */
  async sawReuse({ serial, subjectKind, subjectId }: CertificateStanding, source: string): Promise<void> {
    const { registry, clock, policy } = this.#options;
    const at = clock.now();
    if (subjectKind !== 'device' || this.#isExpected(await lastOf(registry, serial), at)) return;
    await registry.transact(async (tx) => {
      const device = await tx.device(subjectId);
      const last = await lastOf(tx, serial);
      // Another connection may have brought it here first.
      if (!device || device.state === 'revoked' || this.#isExpected(last, at)) return;
      // Once: after a release the same certificate could otherwise shut the device out again and again.
      const quarantined =
        policy === 'quarantine' && device.state !== 'quarantined' && last?.action !== 'certificate.reused';
      const state = quarantined ? 'quarantined' : device.state;
      await tx.updateDevice({ ...device, state, cloneSeenAt: at });
      const { id: deviceId, name } = device;
      await tx.appendAudit({
        at,
        action: 'certificate.reused',
        subject: serial,
        detail: { device: deviceId, source },
      });
      tx.emit({ type: 'clone_suspected', deviceId, name, serial, source, at, quarantined });
      if (!quarantined) return;
      await tx.appendAudit({ at, action: 'device.quarantined', subject: deviceId, detail: { serial } });
      tx.emit({ type: 'device_quarantined', deviceId });
    });
  }

  /** @param last says when the certificate was superseded or reported, whichever came later. */
  #isExpected(last: AuditRow | undefined, now: Date): boolean {
    const { supersededGraceMs, cloneReportMs } = this.#options.limits;
    if (!last) return false;
    const ageMs = now.getTime() - last.atMs;
    // One from the future says that the clock was set back, and nothing about this certificate.
    return ageMs >= 0 && ageMs < (last.action === 'certificate.reused' ? cloneReportMs : supersededGraceMs);
  }
}

const lastOf = async (reads: RegistryReads, serial: string): Promise<AuditRow | undefined> =>
  (await reads.audit({ subject: serial, limit: 1 }))[0];
