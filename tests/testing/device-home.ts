// A device with its secrets on disk, for use by another process.

import { join } from 'node:path';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';

export async function openSecrets(home: string): Promise<FilesystemSecretStore> {
  return FilesystemSecretStore.open({
    path: join(home, 'secrets'),
    masterKey: await masterKeyFromFile({ path: join(home, 'master.key') }),
  });
}
