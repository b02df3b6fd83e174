// What the doctor says about one part of a home.

export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'problem';
  readonly message: string;
}

/** Looks at one part, and keeps what it finds. @returns whether looking came to its end. */
export type Find = (check: string, look: () => Promise<string | Finding[]>) => Promise<boolean>;

export function problem(check: string, message: string): Finding {
  return { check, verdict: 'problem', message };
}
