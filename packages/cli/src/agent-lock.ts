// Allows one agent at a time for each home and daemon, because two agents would look like a copied device.

import { join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import { type FileLock, takeByName } from '@palyra/identity/files';
import type { Home } from './home.ts';

/** Close the lock to let another agent take it. @throws HOME_IN_USE, with the process that holds the lock. */
export function takeAgentLock(home: Home, { root }: PairedEnrollment): Promise<FileLock> {
  return takeByName(
    join(home.agents, `${root}.lock`),
    (holder) =>
      new IdentityError(
        'HOME_IN_USE',
        `An agent for this device is already running: ${holder} (home ${home.path}). Stop that agent first.`,
      ),
  );
}
