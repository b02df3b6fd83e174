// Copies a snapshot of a registry into a file, even while its daemon runs.

import { open } from 'node:fs/promises';
import { withReadOnly } from './read-only.ts';

/**
 * @param to a file that must not exist; it is private from its first byte.
 * @param signal ends the work with its reason.
 * @throws REGISTRY_LOST, STORE_FULL, STORE_FAILED
 */
export async function copySqliteRegistry(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await (await open(to, 'wx', 0o600)).close();
  await withReadOnly(from, (connection) => connection.backUp(to, signal));
}
