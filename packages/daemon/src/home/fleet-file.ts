// What the home of a daemon remembers of the database that it shares with others: who it is there, and the last audit row that
// it has seen. So an empty database, another authority's, or an older copy is noticed at the next start.

import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { IdentityError } from '@palyra/identity';
import {
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  syncFolder,
  withStoreErrors,
} from '@palyra/identity/files';
import { type Clock, makeUlid } from '@palyra/identity/values';
import { z } from 'zod';
import type { DaemonPaths } from './paths.ts';

const maxBytes = 4096;

const schema = z.strictObject({
  /** This daemon, for the others. */
  daemon: z.string().regex(/^[0-9A-Z]{26}$/),
  /** The last row of the audit that it has seen. */
  seen: z.strictObject({ seq: z.number().int().min(0), hash: z.string().regex(/^[0-9a-f]{64}$/) }),
});

export type FleetMemory = z.infer<typeof schema>;

/** @throws STORE_PERMISSIONS, STORE_FAILED for a file that cannot be read; undefined if there is none. */
export async function readFleetFile({ fleet }: Pick<DaemonPaths, 'fleet'>): Promise<FleetMemory | undefined> {
  return withStoreErrors(fleet, async () => {
    const bytes = await readPrivateFile(fleet, maxBytes);
    if (bytes === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(Buffer.from(bytes).toString()));
    } catch (cause) {
      throw new IdentityError('STORE_FAILED', `${fleet} is damaged. Restore it from a copy of this home.`, {
        cause,
        about: 'home',
      });
    }
  });
}

/** Durable when it resolves. */
export async function writeFleetFile(
  { path, fleet }: Pick<DaemonPaths, 'path' | 'fleet'>,
  memory: FleetMemory,
): Promise<void> {
  await withStoreErrors(fleet, async () => {
    await removeLeftovers(path, fleet);
    await replaceFile(fleet, Buffer.from(JSON.stringify(memory)));
  });
}

/** The memory of a daemon that has not seen anything. */
export function newFleetMemory(clock: Clock): FleetMemory {
  return { daemon: makeUlid(clock.now(), randomBytes(10)), seen: { seq: 0, hash: '0'.repeat(64) } };
}

/** When the registry is in the home again. Durable when it resolves. */
export async function removeFleetFile({ path, fleet }: Pick<DaemonPaths, 'path' | 'fleet'>): Promise<void> {
  await withStoreErrors(fleet, async () => {
    await rm(fleet, { force: true });
    await syncFolder(path);
  });
}
