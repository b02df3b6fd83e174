// How fast one device may get certificates. Each leaves rows that are never removed.

import { IdentityError } from '../errors.ts';
import type { CertificateRecord } from '../fleet/certificate-state.ts';

/** Certificates for one device in a window, used or not. */
export const burst = 20;
const burstWindowMs = 10 * 60_000;
/**
 * Certificates of one device that have not ended and may come as fast as `burst` lets them. A revocation of the device lists
 * them all in one change, and lists keep them. Then they come at a pace at which no more than twice as many are there at a
 * time: nobody has to wait until one ends.
 */
export const unpaced = 500;

/**
 * @param recent the newest certificates, at least `burst` when there are as many.
 * @param oldestEnd when the certificate ends after which `unpaced - 1` came; undefined when there is none.
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
  // One from the future says that the clock was set back, and nothing else.
  const isWithin = (each: CertificateRecord | undefined, ms: number) => ageMs(each) >= 0 && ageMs(each) < ms;
  if (isWithin(recent[burst - 1], burstWindowMs)) {
    throw new IdentityError(
      'TOO_MANY_REQUESTS',
      `This device was given ${burst} certificates in ${burstWindowMs / 60_000} minutes.`,
      { retryAfterMs: burstWindowMs - ageMs(recent[burst - 1]) },
    );
  }
  const paceMs = Math.ceil(lifeMs / unpaced);
  if (oldestEnd && oldestEnd > now && isWithin(recent[0], paceMs)) {
    throw new IdentityError(
      'TOO_MANY_REQUESTS',
      `This device has ${unpaced} certificates that have not ended. It should use one of them.`,
      { retryAfterMs: paceMs - ageMs(recent[0]) },
    );
  }
}
