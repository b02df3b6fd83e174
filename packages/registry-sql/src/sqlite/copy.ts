// One moment of a registry as a file of its own, also while its daemon runs.

import { open } from 'node:fs/promises';
import { withReadOnly } from './read-only.ts';

/**
 * @param to must not exist; private from its first byte.
 * @throws REGISTRY_LOST, STORE_FULL, STORE_FAILED
 */
export async function copySqliteRegistry(from: string, to: string): Promise<void> {
  await (await open(to, 'wx', 0o600)).close();
  await withReadOnly(from, (connection) => connection.backUp(to));
}
