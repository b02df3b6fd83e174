// A gauge whose values come from the registry. While its database is away, the gauge has no values, and the other metrics stay.

import { hasCode } from '@palyra/identity';
import type { Gauge } from 'prom-client';

export interface Database {
  /** Whether the last look at the database found it. */
  readonly isReachable: boolean;
  /** The last round trip, ms. */
  readonly databaseMs: number;
}

/** @param database undefined for a registry in a file. @param read sets the values; called only while it can be read. */
export function whileReachable<Labels extends string>(
  database: Database | undefined,
  read: (gauge: Gauge<Labels>) => Promise<void>,
): (this: Gauge<Labels>) => Promise<void> {
  return async function () {
    try {
      if (database?.isReachable === false) empty(this);
      else await read(this);
    } catch (error) {
      if (!database || !isAway(error)) throw error;
      empty(this);
    }
  };
}

function isAway(error: unknown): boolean {
  return hasCode(error, 'STORE_UNREACHABLE') || hasCode(error, 'REGISTRY_WENT_BACK');
}

function empty(gauge: Gauge<string>): void {
  // Of a gauge without labels, `reset` would make a 0.
  const { labelNames } = gauge as unknown as { readonly labelNames: readonly string[] };
  if (labelNames.length > 0) gauge.reset();
  else gauge.remove();
}
