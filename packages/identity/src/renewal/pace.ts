// Limits how fast one device may get certificates, because each leaves rows that are never removed.

import { IdentityError } from '../errors.ts';
import type { CertificateRecord } from '../fleet/certificate-state.ts';

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
 * @param recent the newest certificates, at least `burst` when there are as many.
 * @param oldestEnd end of the certificate that has exactly `unpaced - 1` newer ones; undefined if there is none.
 * @throws TOO_MANY_REQUESTS
 */
export function mustKeepPace(
  recent: readonly CertificateRecord[],
  oldestEnd: Date | undefined,
  lifeMs: number,
  now: Date,
): void {
  const ageMs = (each: CertificateRecord | undefined) =>
    each ? now.getTime() - each.createdAt.getTime() : Number.POSITIVE_INFINITY;
  // A time in the future only means that the clock was set back.
  const isWithin = (each: CertificateRecord | undefined, ms: number) => ageMs(each) >= 0 && ageMs(each) < ms;
  if (isWithin(recent[burst - 1], burstWindowMs)) {
    throw new IdentityError(
      'TOO_MANY_REQUESTS',
      `This device got ${burst} certificates in ${burstWindowMs / 60_000} minutes.`,
      { retryAfterMs: burstWindowMs - ageMs(recent[burst - 1]) },
    );
  }
  const paceMs = Math.ceil(lifeMs / unpaced);
  if (oldestEnd && oldestEnd > now && isWithin(recent[0], paceMs)) {
    throw new IdentityError(
      'TOO_MANY_REQUESTS',
      `This device has ${unpaced} unexpired certificates. It should use one of them.`,
      { retryAfterMs: paceMs - ageMs(recent[0]) },
    );
  }
}
