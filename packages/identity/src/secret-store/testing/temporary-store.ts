// Folders and stores that are removed when the test ends.

import type { TestContext } from 'node:test';
import { temporaryFolder as newFolder } from '../../../../../tests/testing/temporary-folder.ts';
import { FilesystemSecretStore } from '../filesystem.ts';
import { MasterKey } from '../master-key.ts';
import { bytes } from './secret-store-suite.ts';

export const masterKey = new MasterKey(bytes(32));
export const otherKey = new MasterKey(new Uint8Array(32));

export async function temporaryFolder(_t: TestContext): Promise<string> {
  return newFolder();
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
