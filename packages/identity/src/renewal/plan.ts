// Plans the renewal time of each device. Devices that were paired together, or returned together after an outage, would
// renew together for ever. So the daemon counts its planned renewals, and asks each device for a time with few others.

import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import type { Registry } from '../registry/port.ts';

/** Range of renewal times, as parts of a certificate's life from its arrival, including both ends. */
export const EARLIEST_RENEWAL = 1 / 2;
/** The remaining life is for retries. */
export const LATEST_RENEWAL = 5 / 6;

/** Number of separately counted spans in the longest life of a certificate. */
export const RENEWAL_BUCKETS = 360;

export interface RenewalPlanOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly crypto: Pick<PairingCrypto, 'randomInt'>;
  /** The longest life of a device certificate, ms. */
  readonly lifeMs: number;
}

export class RenewalPlan {
  readonly #crypto: RenewalPlanOptions['crypto'];
  readonly #widthMs: number;
  /** Counts by span, numbered from 1970, modulo the number of spans. */
  readonly #spans = new Float64Array(RENEWAL_BUCKETS);
  readonly #counts = new Uint32Array(RENEWAL_BUCKETS);

  /** Loads the plans from before this start, with one read of the certificates still to be renewed. */
  static async open({ registry, clock, crypto, lifeMs }: RenewalPlanOptions): Promise<RenewalPlan> {
    const plan = new RenewalPlan(crypto, lifeMs);
    const from = clock.now();
    const to = new Date(from.getTime() + lifeMs);
    for (const { at, count } of await registry.plannedRenewals({ from, to, stepMs: plan.#widthMs })) {
      plan.#add(at.getTime() / plan.#widthMs, count);
    }
    return plan;
  }

  private constructor(crypto: RenewalPlanOptions['crypto'], lifeMs: number) {
    this.#crypto = crypto;
    this.#widthMs = Math.ceil(lifeMs / RENEWAL_BUCKETS);
  }

  /**
   * Plans a renewal at the time with the fewest others. Stays one span inside the bounds, because clocks differ.
   * @returns undefined for a certificate with too little life left to choose from.
   */
  add(now: Date, notAfter: Date): Date | undefined {
    const leftMs = notAfter.getTime() - now.getTime();
    const first = Math.floor((now.getTime() + leftMs * EARLIEST_RENEWAL) / this.#widthMs) + 1;
    const choices = Math.floor((now.getTime() + leftMs * LATEST_RENEWAL) / this.#widthMs) - 1 - first;
    if (choices < 1) return undefined;
    // Starts at a random span, so that equal spans are chosen equally.
    const start = this.#crypto.randomInt(choices);
    let best = first + start;
    for (let step = 1; step < choices; step += 1) {
      const span = first + ((start + step) % choices);
      if (this.#count(span) < this.#count(best)) best = span;
    }
    this.#add(best, 1);
    return new Date(best * this.#widthMs + this.#crypto.randomInt(this.#widthMs));
  }

  /**
   * Plans a renewal between now and then, at the time with the fewest others.
   * @param withinMs is shortened so that the certificate's remaining life leaves time for retries.
   */
  addWithin(now: Date, withinMs: number, notAfter: Date): Date {
    const from = now.getTime();
    const longestMs = Math.max(0, (notAfter.getTime() - from) * LATEST_RENEWAL);
    const to = from + Math.min(withinMs, longestMs);
    const first = Math.floor(from / this.#widthMs);
    const choices = Math.floor(to / this.#widthMs) - first + 1;
    const start = this.#crypto.randomInt(choices);
    let best = first + start;
    for (let step = 1; step < choices; step += 1) {
      const span = first + ((start + step) % choices);
      if (this.#count(span) < this.#count(best)) best = span;
    }
    this.#add(best, 1);
    // The first and the last span may be cut.
    const earliest = Math.max(from, best * this.#widthMs);
    const latest = Math.min(to, (best + 1) * this.#widthMs - 1);
    return new Date(earliest + this.#crypto.randomInt(Math.max(1, Math.floor(latest - earliest) + 1)));
  }

  /** Removes a planned renewal that was made, or will not be made. */
  remove(at: Date | undefined): void {
    if (!at) return;
    const span = Math.floor(at.getTime() / this.#widthMs);
    if (this.#count(span) > 0) this.#add(span, -1);
  }

  /** The number planned for the span of this instant. */
  countAt(at: Date): number {
    return this.#count(Math.floor(at.getTime() / this.#widthMs));
  }

  #count(span: number): number {
    const place = span % RENEWAL_BUCKETS;
    return this.#spans[place] === span ? this.#counts[place]! : 0;
  }

  #add(span: number, count: number): void {
    const place = span % RENEWAL_BUCKETS;
    this.#counts[place] = this.#count(span) + count;
    this.#spans[place] = span;
  }
}

/** The renewal time for a device, counted from the arrival, because its clock may differ. */
export function renewAfterMs(renewAtMs: number | undefined, nowMs: number): number {
  return renewAtMs === undefined ? 0 : Math.max(0, renewAtMs - nowMs);
}
