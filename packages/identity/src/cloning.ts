// Possible cloning. Two things that a device itself has no reason to do:
//
// - A certificate that was replaced turns up again. It is superseded only when its successor is used, and by then the
//   successor is stored.
// - It recovers by its identity key while its certificate holds: it would have renewed with that.
//
// Whoever does so is a copy of the device, the device put back from a backup, or a person who typed `palyra renew
// --recover`; the operator is told, and can look.

import type { Clock } from './clock.ts';
import type { PairingLimits } from './limits.ts';
import type {
  CertificateStanding,
  Device,
  Registry,
  RegistryReads,
  RegistryTransaction,
} from './registry/port.ts';
import { readRestored } from './restored.ts';

/** `report`: it is written down and told. `quarantine`: the device is shut out as well, until the operator decides. */
export type CloningPolicy = 'report' | 'quarantine';

export interface CloneWatchOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'supersededGraceMs' | 'cloneReportMs'>;
  readonly policy: CloningPolicy;
}

/** The one in use is among them: few can be waiting for their first use. */
const certificatesLookedAt = 100;

export class CloneWatch {
  readonly #options: CloneWatchOptions;

  constructor(options: CloneWatchOptions) {
    this.#options = options;
  }

  /**
   * To be called for a certificate that was refused because it is superseded. Reports it, unless it was replaced a moment
   * ago, has ended, or its device was reported already: a copy that knocks without end, with any number of certificates,
   * costs reads and fills nothing.
   * @param source address that the connection came from.
   */
  async sawReuse(standing: CertificateStanding, source: string): Promise<void> {
    const { serial, subjectKind, subjectId, notAfterMs } = standing;
    const at = this.#options.clock.now();
    if (subjectKind !== 'device' || at.getTime() >= notAfterMs) return;
    const find = async (reads: RegistryReads) => {
      const device = await this.#unreported(reads, subjectId, at);
      const [last] = device ? await reads.audit({ subject: serial, limit: 1 }) : [];
      if (!device || (last?.action === 'certificate.superseded' && this.#isRecent(last.atMs, at))) return;
      // After a release the same certificate must not shut the device out again and again.
      return { device, serial, mayShutOut: last?.action !== 'certificate.reused' };
    };
    await this.#report(find, { at, source, recovery: false });
  }

  /**
   * To be called for a recovery that is proven, before it is decided. Reports it when the device has no need of one.
   * The policy may leave the device in quarantine.
   * @param source address that the recovery came from.
   */
  async sawRecovery({ id }: Device, source: string): Promise<void> {
    const at = this.#options.clock.now();
    const find = async (reads: RegistryReads) => {
      const device = await this.#unreported(reads, id, at);
      const serial = device && (await usableSerial(reads, device, at));
      return serial === undefined ? undefined : { device: device!, serial, mayShutOut: true };
    };
    await this.#report(find, { at, source, recovery: true });
  }

  /** The device, unless it is known to be copied, or cannot come in anyway. */
  async #unreported(reads: RegistryReads, id: string, now: Date): Promise<Device | undefined> {
    const device = await reads.device(id as Device['id']);
    if (!device || device.state === 'revoked' || device.state === 'quarantined') return undefined;
    const { cloneReportedAt } = device;
    const ageMs = cloneReportedAt ? now.getTime() - cloneReportedAt.getTime() : Number.POSITIVE_INFINITY;
    // One from the future says that the clock was set back, and nothing about this device.
    return ageMs >= 0 && ageMs < this.#options.limits.cloneReportMs ? undefined : device;
  }

  #isRecent(supersededMs: number, now: Date): boolean {
    const ageMs = now.getTime() - supersededMs;
    return ageMs >= 0 && ageMs < this.#options.limits.supersededGraceMs;
  }

  /** Looks first without the registry's one writer, then again in the change: another may have been first. */
  async #report(
    find: (reads: RegistryReads) => Promise<Suspicion | undefined>,
    { at, source, recovery }: { at: Date; source: string; recovery: boolean },
  ): Promise<void> {
    const { registry, policy } = this.#options;
    if (!(await find(registry))) return;
    await registry.transact(async (tx: RegistryTransaction) => {
      const found = await find(tx);
      if (!found) return;
      const { device, serial } = found;
      const { id: deviceId, name } = device;
      const quarantined = policy === 'quarantine' && found.mayShutOut;
      const state = quarantined ? 'quarantined' : device.state;
      await tx.updateDevice({ ...device, state, cloneSeenAt: at, cloneReportedAt: at });
      await tx.appendAudit({
        at,
        action: 'certificate.reused',
        subject: serial,
        detail: { device: deviceId, source, ...(recovery && { recovery }) },
      });
      tx.emit({ type: 'clone_suspected', deviceId, name, serial, source, at, quarantined, recovery });
      if (!quarantined) return;
      await tx.appendAudit({ at, action: 'device.quarantined', subject: deviceId, detail: { serial } });
      tx.emit({ type: 'device_quarantined', deviceId });
    });
  }
}

interface Suspicion {
  readonly device: Device;
  readonly serial: string;
  readonly mayShutOut: boolean;
}

/** Of the certificate that the device has used and could renew with; undefined when a recovery is its only way. */
async function usableSerial(reads: RegistryReads, device: Device, now: Date): Promise<string | undefined> {
  const certificates = await reads.certificatesOf(device.id, certificatesLookedAt);
  const used = certificates.find(
    ({ state, notBefore, notAfter }) => state === 'active' && notBefore <= now && now < notAfter,
  );
  if (!used) return undefined;
  const issuer = (await reads.authorities()).find(({ id }) => id === used.issuerId);
  if (issuer?.state !== 'active') return undefined;
  const restored = await readRestored(reads);
  // Of a device that was not here since a restore, the daemon may have forgotten the newer ones.
  const isForgotten =
    restored !== undefined &&
    used.createdAt.getTime() <= restored.madeAtMs &&
    (device.lastSeenAt?.getTime() ?? 0) <= restored.atMs;
  return isForgotten ? undefined : used.serial;
}
