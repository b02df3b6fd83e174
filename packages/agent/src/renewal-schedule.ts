// When the agent renews its certificate. The wall clock may be wrong or be set, and the monotonic one stands still while
// the machine sleeps: whichever says first that it is time is believed.

import { certificateLifeMs, type PairedEnrollment, renewalTime } from '@palyra/identity/device';

export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** A renewal that failed is tried again after this part of what is left of the certificate's life. */
const retryPart = 0.1;
/** And at the daemon's wish not later than after this part of it. */
const longestRetryPart = 0.25;
const retryMinMs = 5_000;
/** However the clock jumps, two renewals are this part of a certificate's life apart. */
const pausePart = 0.02;

export class RenewalSchedule {
  readonly #pauseEndsMs: number;
  readonly #end: Instant;
  #due: Instant;

  /**
   * @param now when the enrollment came into these hands: its arrival, or the start of the program.
   * @param random in [0, 1).
   */
  constructor(enrollment: PairedEnrollment, now: Instant, random: number) {
    // One from the future arrived under another clock: as if it arrived now, with what its dates leave of it.
    const isPast = enrollment.receivedAt <= now.wallMs;
    const held = isPast ? enrollment : { ...enrollment, receivedAt: now.wallMs, renewAfterMs: 0 };
    const ageMs = now.wallMs - held.receivedAt;
    const lifeMs = certificateLifeMs(held);
    this.#due = later(now, renewalTime(held, random).getTime() - now.wallMs);
    this.#end = later(now, lifeMs - ageMs);
    this.#pauseEndsMs = now.monotonicMs + lifeMs * pausePart - ageMs;
  }

  isDue(now: Instant): boolean {
    return now.monotonicMs >= this.#pauseEndsMs && leftMs(this.#due, now) <= 0;
  }

  /** @param askedMs what the daemon asked for. @returns after how long it is due again, ms. */
  failed(now: Instant, askedMs: number | undefined, random: number): number {
    const retryMs = Math.max(retryMinMs, this.#leftMs(now) * retryPart * (0.5 + random / 2));
    const retryInMs = Math.round(Math.min(askedMs ?? retryMs, this.longestWaitMs(now)));
    this.#due = later(now, retryInMs);
    return retryInMs;
  }

  /** How long the daemon may keep the device away, so that there is time for more tries. */
  longestWaitMs(now: Instant): number {
    const left = this.#leftMs(now);
    return left > 0 ? Math.max(left * longestRetryPart, retryMinMs) : Number.POSITIVE_INFINITY;
  }

  #leftMs(now: Instant): number {
    return Math.max(0, leftMs(this.#end, now));
  }
}

const later = ({ wallMs, monotonicMs }: Instant, ms: number): Instant => ({
  wallMs: wallMs + ms,
  monotonicMs: monotonicMs + ms,
});

const leftMs = (end: Instant, now: Instant): number =>
  Math.min(end.wallMs - now.wallMs, end.monotonicMs - now.monotonicMs);
