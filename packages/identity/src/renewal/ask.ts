// Asks devices to renew before their planned time: after a shortened life, or before a new root. The plan spreads the
// renewals, and the registry keeps the new times, so a device that is away learns of its time when it connects.

import type { Clock } from '../clock.ts';
import { type DeviceId, parseDeviceId } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { CertificateRecord } from '../fleet/certificate-state.ts';
import { askForRenewal } from '../fleet/change.ts';
import { type Device, deviceNotFound, isShutOut } from '../fleet/device.ts';
import type { Actor } from '../registry/actor.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { mustBeLetIn } from '../registry/standing.ts';
import { transactBy } from '../registry/transact-by.ts';
import type { RenewalPlan } from './plan.ts';

/** Devices that are asked in one change of the registry, so that other changes run in between. */
const askedAtOnce = 100;
/** The longest time over which renewals are spread: the longest life of a certificate, ms. */
export const MAX_RENEWAL_SPREAD_MS = 30 * 24 * 60 * 60_000;

/** These devices, or a page of all that have a valid certificate. */
export type DevicesToRenew =
  | { readonly ids: readonly string[] }
  | { readonly after: string; readonly limit: number };

export interface AskedToRenew {
  readonly asked: readonly DeviceId[];
  /** The last device of a page that is full. */
  readonly nextAfter: string;
}

export interface RenewalRequestsOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly plan: RenewalPlan;
}

export class RenewalRequests {
  readonly #options: RenewalRequestsOptions;

  constructor(options: RenewalRequestsOptions) {
    this.#options = options;
  }

  /**
   * @param withinMs spreads the renewals over this time; 0: at once.
   * @throws MESSAGE_INVALID for the time; of named devices DEVICE_NOT_FOUND, DEVICE_ID_INVALID, DEVICE_REVOKED,
   *   DEVICE_QUARANTINED, and CERTIFICATE_EXPIRED for one without a valid certificate.
   */
  async ask(wanted: DevicesToRenew, withinMs: number, actor?: Actor): Promise<AskedToRenew> {
    if (!Number.isSafeInteger(withinMs) || withinMs < 0 || withinMs > MAX_RENEWAL_SPREAD_MS)
      throw new IdentityError('MESSAGE_INVALID', 'Renewals can be spread over at most 30 days.');
    if ('ids' in wanted) {
      const ids = [...new Set(wanted.ids.map(parseDeviceId))];
      return { asked: await this.#inParts(ids, withinMs, actor, true), nextAfter: '' };
    }
    const { after, limit } = wanted;
    const page = await this.#options.registry.devices({ limit, ...(after && { after }) });
    const ids = page.filter((device) => !isShutOut(device)).map(({ id }) => id);
    const asked = await this.#inParts(ids, withinMs, actor, false);
    return { asked, nextAfter: page.length === limit ? (page.at(-1)?.id ?? '') : '' };
  }

  async #inParts(
    ids: readonly DeviceId[],
    withinMs: number,
    actor: Actor | undefined,
    isNamed: boolean,
  ): Promise<DeviceId[]> {
    const asked: DeviceId[] = [];
    for (let from = 0; from < ids.length; from += askedAtOnce) {
      const part = ids.slice(from, from + askedAtOnce);
      for (const id of await this.#askSome(part, withinMs, actor, isNamed)) asked.push(id);
    }
    return asked;
  }

  async #askSome(
    ids: readonly DeviceId[],
    withinMs: number,
    actor: Actor | undefined,
    isNamed: boolean,
  ): Promise<DeviceId[]> {
    const { plan, clock } = this.#options;
    const now = clock.now();
    const kept = new Set<Date>();
    const moved: { readonly from: Date | undefined; readonly to: Date }[] = [];
    try {
      const asked = await transactBy(this.#options, actor, async (tx, by) => {
        const found: DeviceId[] = [];
        for (const id of ids) {
          const device = await tx.device(id);
          if (isNamed) mustHave(device, id);
          const valid = device && !isShutOut(device) ? await validCertificates(tx, device, now) : [];
          if (isNamed && valid.length === 0) throw hasNoCertificate(device!);
          for (const certificate of valid) {
            const to = plan.addWithin(now, withinMs, certificate.notAfter);
            moved.push({ from: certificate.renewAt, to });
            // The earlier of the two times stays.
            if (!(await askForRenewal(tx, certificate, to, { at: now, by }))) kept.add(to);
          }
          if (valid.length > 0) found.push(id);
        }
        return found;
      });
      for (const { from, to } of moved) plan.remove(kept.has(to) ? to : from);
      return asked;
    } catch (error) {
      for (const { to } of moved) plan.remove(to);
      throw error;
    }
  }
}

/** The one in use, and newer ones that the device may hold. */
async function validCertificates(
  tx: RegistryTransaction,
  { id }: Device,
  now: Date,
): Promise<CertificateRecord[]> {
  return (await tx.livingCertificates(id)).filter(({ notAfter }) => notAfter > now);
}

function mustHave(device: Device | undefined, id: DeviceId): asserts device is Device {
  if (!device) throw deviceNotFound(id);
  mustBeLetIn(device);
}

function hasNoCertificate({ id, name }: Device): IdentityError {
  return new IdentityError(
    'CERTIFICATE_EXPIRED',
    `${name} has no valid certificate to renew. Its agent recovers by itself when it connects.`,
    { deviceId: id },
  );
}
