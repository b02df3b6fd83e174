// A finding of the doctor about one part of a home.

import type { IdentityError, IdentityErrorCode } from '@palyra/identity';
import type { ErrorFields } from '@palyra/identity/errors';

export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** The code and fields of an error of the library. */
  readonly code?: IdentityErrorCode;
  readonly fields?: ErrorFields;
}

/** Examines one part, and records the findings. @returns whether the examination was completed. */
export type Find = (check: string, look: () => Promise<string | Finding[]>) => Promise<boolean>;

export function problem(check: string, message: string): Finding {
  return { check, verdict: 'problem', message };
}

export function problemOf(check: string, { message, code, fields }: IdentityError): Finding {
  return { ...problem(check, message), code, fields };
}
