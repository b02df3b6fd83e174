// When each device is asked to renew. A fleet that was paired together, or that came together after an outage, would come
// together for ever: so the daemon counts what it has planned, and asks each device for a time at which few others come.

import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import type { Registry } from '../registry/port.ts';

/** Parts of a certificate's life, from its arrival on, between which a renewal may be asked for. Both ends count. */
export const EARLIEST_RENEWAL = 1 / 2;
/** What is left after it is for more tries. */
export const LATEST_RENEWAL = 5 / 6;

/** Spans of a certificate's longest life that are counted apart. */
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
  /** By number of the span, counted from 1970, modulo their number. */
  readonly #spans = new Float64Array(RENEWAL_BUCKETS);
  readonly #counts = new Uint32Array(RENEWAL_BUCKETS);

  /** With what was planned before this start: one read of the certificates whose renewal is still to come. */
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
   * Plans one renewal, where the fewest others are. Inside the bounds by a span, because clocks differ.
   * @returns undefined for a certificate with too little life left to choose from.
   */
  add(now: Date, notAfter: Date): Date | undefined {
    const leftMs = notAfter.getTime() - now.getTime();
    const first = Math.floor((now.getTime() + leftMs * EARLIEST_RENEWAL) / this.#widthMs) + 1;
    const choices = Math.floor((now.getTime() + leftMs * LATEST_RENEWAL) / this.#widthMs) - 1 - first;
    if (choices < 1) return undefined;
    // From a place by chance, so that equal ones are taken alike.
    const start = this.#crypto.randomInt(choices);
    let best = first + start;
    for (let step = 1; step < choices; step += 1) {
      const span = first + ((start + step) % choices);
      if (this.#count(span) < this.#count(best)) best = span;
    }
    this.#add(best, 1);
    return new Date(best * this.#widthMs + this.#crypto.randomInt(this.#widthMs));
  }

  /** That one has come, or will not come. */
  remove(at: Date | undefined): void {
    if (!at) return;
    const span = Math.floor(at.getTime() / this.#widthMs);
    if (this.#count(span) > 0) this.#add(span, -1);
  }

  /** How many are planned for the span that holds this instant. */
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

/** As a device is told it: its clock may be another, so it counts from the arrival. */
export function renewAfterMs(renewAtMs: number | undefined, nowMs: number): number {
  return renewAtMs === undefined ? 0 : Math.max(0, renewAtMs - nowMs);
}
