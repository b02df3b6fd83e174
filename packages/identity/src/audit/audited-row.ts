// One row of the audit, as the state that it leads to is made from it.

import type { Facts } from './audited-facts.ts';

export interface AuditedRow {
  readonly seq: number;
  readonly atMs: number;
  readonly subject: string;
  readonly detail: Facts & Readonly<Record<string, unknown>>;
}

/** What a table must say of one thing, so far. */
export type Changing = Record<string, string | number>;

/** Whether what has this id is looked at; the rest is in another part. */
export type Holds = (id: string) => boolean;
