// The time at which a certificate is replaced. This file has no imports, because the console's page also uses it.

/** The part of a certificate's life after which it is replaced: two thirds. */
export const RENEWAL_SHARE = 2 / 3;

export function renewalDueAt({
  notBefore,
  notAfter,
}: {
  readonly notBefore: Date;
  readonly notAfter: Date;
}): Date {
  return new Date(notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * RENEWAL_SHARE);
}
