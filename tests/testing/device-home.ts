// A device whose secrets are on disk, where another process finds them.

import { join } from 'node:path';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';

export async function openSecrets(home: string): Promise<FilesystemSecretStore> {
  return FilesystemSecretStore.open({
    path: join(home, 'secrets'),
    masterKey: await masterKeyFromFile({ path: join(home, 'master.key') }),
  });
}
