// The doctor's findings about the daemons that share the registry.

import { IdentityError } from '@palyra/identity';
import type { DaemonConfig } from '../config.ts';
import type { Finding } from './finding.ts';
import { isShared } from './registry-place.ts';
import { lookAtSharedFleet } from './shared-database.ts';

export async function examineFleet(config: DaemonConfig | undefined): Promise<Finding[]> {
  // Problems of the configuration were already reported.
  if (!config || !isShared(config)) return [];
  const members = await lookAtSharedFleet(config).catch((error) => {
    // Reported with the registry.
    if (error instanceof IdentityError) return [];
    throw error;
  });
  return members.map(({ id, version, seenAt, isAlive, databaseMs }) => {
    const daemon = `The daemon ${id} (version ${version})`;
    if (isAlive)
      return {
        check: 'fleet',
        verdict: 'ok',
        message: `${daemon} runs; its last round trip to the database took ${databaseMs.toFixed(1)} ms.`,
      };
    return {
      check: 'fleet',
      verdict: 'warning',
      message: `${daemon} has given no sign of life since ${seenAt.toISOString()}. Start it. If it is not coming back: palyra fleet forget ${id}`,
    };
  });
}
