// One agent at a time for one home and one daemon: two would look like a copied device.

import { join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import type { PairedEnrollment } from '@palyra/identity/device';
import { type FileLock, takeByName } from '@palyra/identity/files';
import type { Home } from './home.ts';

/** Close it to let another agent have it. @throws HOME_IN_USE naming the process that has it. */
export function takeAgentLock(home: Home, { root }: PairedEnrollment): Promise<FileLock> {
  return takeByName(
    join(home.agents, `${root}.lock`),
    (holder) =>
      new IdentityError(
        'HOME_IN_USE',
        `An agent of this device runs already: ${holder} (home ${home.path}). Stop that one first.`,
      ),
  );
}
