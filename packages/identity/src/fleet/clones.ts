// Detects possible copies. A genuine device has no reason to do these three things:
//
// - It uses a certificate that was replaced. A certificate is superseded only when its successor is used, and by then
//   the successor is stored.
// - It recovers with its identity key while its certificate is valid. It could have renewed with that certificate.
// - A second agent connects while the first one still answers.
//
// The cause is a copy of the device, a restore of the device from a backup, or a person who asked for a recovery. The
// operator gets a report and can investigate.

import type { Clock } from '../clock.ts';
import type { DeviceId } from '../device-id.ts';
import type { PairingLimits } from '../limits.ts';
import type { CertificateStanding, Registry, RegistryReads, RegistryTransaction } from '../registry/port.ts';
import { judgeStanding } from '../registry/standing.ts';
import { changeDevice } from './change.ts';
import { type AdmittedDevice, type CloneSign, type Device, isShutOut } from './device.ts';
import { readRestored } from './restored.ts';

/** `report`: it is recorded and reported. `quarantine`: the device is also refused until the operator decides. */
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
   * Call it for a certificate that was refused because it is superseded. Reports it, unless it was replaced a moment
   * ago, has expired, or its device was already reported: endless attempts of a copy cost only reads, and store nothing.
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
    await this.#report(find, { at, source, sign: 'replaced_certificate' });
  }

  /**
   * Call it for a recovery that is granted without the operator, in the change that grants it. Reports the recovery if
   * the device did not need it.
   * @param source address that the recovery came from.
   * @returns whether the device is in quarantine now: then nothing is granted.
   */
  async sawRecovery(tx: RegistryTransaction, { id }: Device, source: string, at: Date): Promise<boolean> {
    const device = await this.#unreported(tx, id, at);
    const serial = device && (await usableSerial(tx, device, at));
    if (serial === undefined) return false;
    return this.#record(tx, { device: device!, serial, mayShutOut: true }, { at, source, sign: 'recovery' });
  }

  /**
   * Call it when a second agent connects while the first one still answers.
   * @param caller the device, and the certificate that the other agent showed.
   * @param source address of the second agent.
   */
  async sawSecondAgent(caller: { deviceId: DeviceId; serial: string }, source: string): Promise<void> {
    const at = this.#options.clock.now();
    const find = async (reads: RegistryReads) => {
      const device = await this.#unreported(reads, caller.deviceId, at);
      return device && { device, serial: caller.serial, mayShutOut: true };
    };
    await this.#report(find, { at, source, sign: 'second_agent' });
  }

  /** The device, unless it was already reported, or may not connect anyway. */
  async #unreported(reads: RegistryReads, id: DeviceId, now: Date): Promise<AdmittedDevice | undefined> {
    const device = await reads.device(id);
    if (!device || isShutOut(device)) return undefined;
    const { cloneReportedAt } = device;
    const ageMs = cloneReportedAt ? now.getTime() - cloneReportedAt.getTime() : Number.POSITIVE_INFINITY;
    // A time in the future means that the clock was set back, and says nothing about this device.
    return ageMs >= 0 && ageMs < this.#options.limits.cloneReportMs ? undefined : device;
  }

  #isRecent(supersededMs: number, now: Date): boolean {
    const ageMs = now.getTime() - supersededMs;
    return ageMs >= 0 && ageMs < this.#options.limits.supersededGraceMs;
  }

  /** Checks first without the registry's only writer, then again in the change, because another may have been first. */
  async #report(
    find: (reads: RegistryReads) => Promise<Suspicion | undefined>,
    seen: Sighting,
  ): Promise<void> {
    const { registry } = this.#options;
    if (!(await find(registry))) return;
    await registry.transact(async (tx: RegistryTransaction) => {
      const found = await find(tx);
      if (found) await this.#record(tx, found, seen);
    });
  }

  /** @returns whether the device is in quarantine now. */
  async #record(
    tx: RegistryTransaction,
    { device, serial, mayShutOut }: Suspicion,
    { at, source, sign }: Sighting,
  ): Promise<boolean> {
    const quarantine = this.#options.policy === 'quarantine' && mayShutOut;
    const event = { type: 'suspect', serial, source, sign, quarantine } as const;
    const { state } = await changeDevice(tx, device, event, { at });
    return state === 'quarantined';
  }
}

interface Sighting {
  readonly at: Date;
  readonly source: string;
  readonly sign: CloneSign;
}

interface Suspicion {
  readonly device: AdmittedDevice;
  readonly serial: string;
  readonly mayShutOut: boolean;
}

/** Serial of the certificate with which the device could renew; undefined if it can only recover. */
export async function usableSerial(
  reads: RegistryReads,
  device: Device,
  now: Date,
): Promise<string | undefined> {
  const used = (await reads.livingCertificates(device.id)).find(({ state }) => state === 'active');
  if (!used || !judgeStanding(await reads.standing(used.fingerprint), now.getTime()).ok) return undefined;
  const restored = await readRestored(reads);
  // If the device has not connected since a restore, the daemon may not know its newer certificates.
  const isForgotten =
    restored !== undefined &&
    used.createdAt.getTime() <= restored.madeAtMs &&
    (device.lastSeenAt?.getTime() ?? 0) <= restored.atMs;
  return isForgotten ? undefined : used.serial;
}
