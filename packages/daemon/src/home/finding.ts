// What the doctor says about one part of a home.

import type { IdentityError, IdentityErrorCode } from '@palyra/identity';
import type { ErrorFields } from '@palyra/identity/errors';

export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** Where an error of the library says what is wrong. */
  readonly code?: IdentityErrorCode;
  readonly fields?: ErrorFields;
}

/** Looks at one part, and keeps what it finds. @returns whether looking came to its end. */
export type Find = (check: string, look: () => Promise<string | Finding[]>) => Promise<boolean>;

export function problem(check: string, message: string): Finding {
  return { check, verdict: 'problem', message };
}

export function problemOf(check: string, { message, code, fields }: IdentityError): Finding {
  return { ...problem(check, message), code, fields };
}
