// The time at which a device renews its certificate. The wall clock may be wrong or may be set, and the monotonic
// clock stops while the machine sleeps, so the first clock to reach the time counts.

import type { PairedEnrollment } from '../device/enrollment.ts';
import { certificateLifeMs, renewalTime } from './device.ts';

export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** A failed renewal is retried after this part of the certificate's remaining life. */
const retryPart = 0.1;
/** If the daemon asks for a wait, the retry comes at the latest after this part of the remaining life. */
const longestRetryPart = 0.25;
const retryMinMs = 5_000;
/** Shortest time between two renewals, as a part of the certificate's life, however the clock jumps. */
const pausePart = 0.02;

export class RenewalSchedule {
  #pauseEndsMs: number;
  readonly #end: Instant;
  #due: Instant;

  /**
   * @param now the time at which this program got the enrollment: its arrival, or the start of the program.
   * @param random in [0, 1).
   */
  constructor(enrollment: PairedEnrollment, now: Instant, random: number) {
    // An arrival in the future was by another clock. It counts as now, with the remaining life from the dates.
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

  /** The daemon wants a renewal after this time. A renewal that is due earlier stays due. */
  plannedIn(now: Instant, ms: number): void {
    if (ms < leftMs(this.#due, now)) this.#due = later(now, ms);
  }

  /** The operator wants a renewal after this time, even if the last one was a moment ago. */
  askedIn(now: Instant, ms: number): void {
    this.plannedIn(now, ms);
    this.#pauseEndsMs = Math.min(this.#pauseEndsMs, now.monotonicMs + ms);
  }

  /** @param askedMs the wait that the daemon asked for. @returns the time until the next try, ms. */
  failed(now: Instant, askedMs: number | undefined, random: number): number {
    const retryMs = Math.max(retryMinMs, this.#leftMs(now) * retryPart * (0.5 + random / 2));
    const retryInMs = Math.round(Math.min(askedMs ?? retryMs, this.longestWaitMs(now)));
    this.#due = later(now, retryInMs);
    return retryInMs;
  }

  /** The longest wait that the daemon may ask for, which leaves time for more tries. */
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
