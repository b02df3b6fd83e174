// One audit row, as input for the replay.

import type { Facts } from './audited-facts.ts';

export interface AuditedRow {
  readonly seq: number;
  readonly atMs: number;
  readonly subject: string;
  readonly detail: Facts & Readonly<Record<string, unknown>>;
}

/** The values that a table must have for one thing, so far. */
export type Changing = Record<string, string | number>;

/** Whether this part includes the id; other parts have the rest. */
export type Holds = (id: string) => boolean;
