// For tests: folders and stores that go when the test ends.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FilesystemSecretStore } from './filesystem.ts';
import { MasterKey } from './master-key.ts';
import { bytes } from './secret-store-suite.ts';

export const masterKey = new MasterKey(bytes(32));
export const otherKey = new MasterKey(new Uint8Array(32));

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'palyra-secrets-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function openStore(
  t: TestContext,
  path: string,
  key = masterKey,
): Promise<FilesystemSecretStore> {
  const store = await FilesystemSecretStore.open({ path, masterKey: key });
  t.after(() => store.close());
  return store;
}
