// Limits how fast one device may get certificates, because each leaves rows that are never removed.

import { IdentityError } from '../errors.ts';
import type { CertificatePace } from '../registry/port.ts';

/** Most certificates for one device in a window, used or not. */
export const burst = 20;
const burstWindowMs = 10 * 60_000;
/**
 * Unexpired certificates of one device up to which only `burst` limits the speed. A revocation of the device lists them
 * all in one change, and lists keep them. Beyond that number, the pace allows at most twice as many at a time, so that
 * no device has to wait until one expires.
 */
export const unpaced = 500;

/**
 * @param pace with `burst` and `unpaced`.
 * @throws TOO_MANY_REQUESTS
 */
export function mustKeepPace(
  { newest, burstBeganAt, unpacedEndsAt }: CertificatePace,
  lifeMs: number,
  now: Date,
): void {
  // A time in the future only means that the clock was set back.
  const leftOf = (since: Date | undefined, ms: number) => {
    const ageMs = since ? now.getTime() - since.getTime() : -1;
    return ageMs >= 0 && ageMs < ms ? ms - ageMs : undefined;
  };
  const burstMs = leftOf(burstBeganAt, burstWindowMs);
  if (burstMs !== undefined) {
    throw new IdentityError(
      'TOO_MANY_REQUESTS',
      `This device got ${burst} certificates in ${burstWindowMs / 60_000} minutes.`,
      { retryAfterMs: burstMs },
    );
  }
  const paceMs = leftOf(newest?.createdAt, Math.ceil(lifeMs / unpaced));
  if (unpacedEndsAt && unpacedEndsAt > now && paceMs !== undefined) {
    throw new IdentityError(
      'TOO_MANY_REQUESTS',
      `This device has ${unpaced} unexpired certificates. It should use one of them.`,
      { retryAfterMs: paceMs },
    );
  }
}
