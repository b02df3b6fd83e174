// Checks that a daemon with valid certificates is the one that the device knows.

import { IdentityError } from '@palyra/identity/portable';
import { notAuthenticated } from './agree.ts';

export interface KnownDaemon {
  readonly trustDomain: string;
  /** Default: any daemon of the trust domain. */
  readonly daemonId?: string;
}

export interface JudgedPeer {
  readonly leaf: { readonly kind: 'device' | 'daemon'; readonly trustDomain: string; readonly id: string };
  /** The period in which the whole chain is valid. */
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** @throws DAEMON_NOT_AUTHENTICATED, and CLOCK_SKEW when only the dates are wrong. */
export function checkKnownDaemon(
  { leaf, notBefore, notAfter }: JudgedPeer,
  known: KnownDaemon,
  now: Date,
): void {
  const isKnown = known.daemonId === undefined || leaf.id === known.daemonId;
  if (leaf.kind !== 'daemon' || leaf.trustDomain !== known.trustDomain || !isKnown)
    throw notAuthenticated('its certificate has another name');
  if (now >= notBefore && now < notAfter) return;
  throw new IdentityError(
    'CLOCK_SKEW',
    `The daemon's certificate is not valid at this device's time, ${now.toISOString()}. Set the clock right, or restart the daemon if it was asleep for days.`,
  );
}
