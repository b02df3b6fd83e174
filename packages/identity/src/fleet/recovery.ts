// Decides whether a device that has only its identity key gets a certificate, by itself or with the operator's release.

import type { Clock } from '../clock.ts';
import { IdentityError } from '../errors.ts';
import type { PairingLimits } from '../limits.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { deviceQuarantined, mustBeLetIn } from '../registry/standing.ts';
import { changeDevice } from './change.ts';
import { type CloneWatch, usableSerial } from './clones.ts';
import type { Device } from './device.ts';
import { readRestored } from './restored.ts';

/** About two years of certificates that live a day. */
const certificatesLookedAt = 1000;
const recoveryWindowMs = 30 * 86_400_000;
/** After this time a device that waits for the operator tries again. */
const approvalRetryMs = 60_000;

export interface RecoveryOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'recoveryOfflineMs' | 'recoveries' | 'recoveryReleaseMs'>;
  readonly clones: Pick<CloneWatch, 'sawRecovery'>;
}

export class Recovery {
  readonly #options: RecoveryOptions;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /**
   * Why the operator must allow this recovery; undefined when the device may recover by itself. A certificate that the
   * operator revoked is a separate reason, in `refusal`.
   */
  async doubtOf(device: Device): Promise<string | undefined> {
    const { registry, clock, limits } = this.#options;
    const nowMs = clock.now().getTime();
    if (limits.recoveryOfflineMs === 0) return 'this daemon asks about every recovery';
    const certificates = await registry.certificatesOf(device.id, certificatesLookedAt);
    if (certificates.length === 0) return 'it never fetched its first certificate';
    const used = certificates.find(({ state }) => state !== 'issued');
    const since = used?.notAfter ?? device.lastSeenAt ?? device.createdAt;
    if ((await this.#absenceMs(since)) > limits.recoveryOfflineMs) {
      return `it was away since ${since.toISOString()}`;
    }
    const recent = certificates.filter(
      ({ recovered, createdAt }) => recovered && nowMs - createdAt.getTime() < recoveryWindowMs,
    );
    return recent.length < limits.recoveries ? undefined : `it recovered ${recent.length} times in 30 days`;
  }

  /** Leaves out the time that a restore forgot, because the device may have been connected then. */
  async #absenceMs(since: Date): Promise<number> {
    const { registry, clock } = this.#options;
    const absenceMs = clock.now().getTime() - since.getTime();
    const restored = await readRestored(registry);
    if (!restored) return absenceMs;
    return absenceMs - Math.max(0, restored.atMs - Math.max(restored.madeAtMs, since.getTime()));
  }

  /**
   * Decides about a recovery, in the change that would grant it. Records once that the device asks the operator, and
   * any sign of a copy.
   * @param doubt the result of `doubtOf`.
   * @param source address that the recovery came from.
   * @returns why the recovery is refused; undefined when it is granted.
   * @throws DEVICE_REVOKED, DEVICE_QUARANTINED
   */
  async refusal(
    tx: RegistryTransaction,
    device: Device,
    doubt: string | undefined,
    source: string,
    at: Date,
  ): Promise<IdentityError | undefined> {
    const { limits, clones } = this.#options;
    mustBeLetIn(device);
    const { id, recovery } = device;
    const reason = device.certificateRevokedAt ? 'its certificate was revoked' : doubt;
    if (reason === undefined)
      return (await clones.sawRecovery(tx, device, source, at)) ? deviceQuarantined(id) : undefined;
    const releasedMs = recovery?.state === 'released' ? at.getTime() - recovery.at.getTime() : -1;
    if (releasedMs >= 0 && releasedMs < limits.recoveryReleaseMs) return undefined;
    if (recovery?.state !== 'asked') {
      const possibleCopy =
        device.cloneSeenAt !== undefined || (await usableSerial(tx, device, at)) !== undefined;
      await changeDevice(tx, device, { type: 'ask_recovery', reason, source, possibleCopy }, { at });
    }
    return new IdentityError(
      'RECOVERY_NEEDS_APPROVAL',
      `The operator must let this device back in, because ${reason}.`,
      { deviceId: id, retryAfterMs: approvalRetryMs },
    );
  }
}
