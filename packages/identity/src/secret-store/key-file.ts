// The default master key: 32 random bytes in the daemon's own file, created at first use.

import { randomBytes } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { IdentityError } from '../errors.ts';
import { MASTER_KEY_BYTES, MasterKey, type NextMasterKey } from './master-key.ts';
import {
  createFile,
  makeFolder,
  quoted,
  readPrivateFile,
  removeLeftovers,
  replaceFile,
  withStoreErrors,
} from './private-file.ts';

export interface KeyFileOptions {
  /** The file. Keep it outside the store's folder, so that a copy of the store alone opens nothing. */
  readonly path: string;
  /** Do not create the key, because records sealed under it exist or the caller only reads. Default: create it. */
  readonly mustExist?: boolean;
}

/**
 * Reads the key from the file. Creates a missing file (0600) and folder (0700); several processes that do so at the same
 * time all get the same key.
 * @throws STORE_PERMISSIONS for a file that others may access, that another user owns or that is a symbolic link;
 *   MASTER_KEY_WRONG for a wrong length, and for a missing file that must exist; STORE_FULL; STORE_FAILED.
 */
export function masterKeyFromFile(options: KeyFileOptions): Promise<MasterKey> {
  const path = resolve(options.path);
  return withStoreErrors(path, async () => {
    let bytes = await readPrivateFile(path, MASTER_KEY_BYTES + 1);
    if (bytes === undefined) {
      if (options.mustExist) throw keyMissing(path);
      await makeFolder(dirname(path));
      await createFile(path, randomBytes(MASTER_KEY_BYTES));
      // Read the file back: if another process was first, its key is in the file.
      bytes = await readPrivateFile(path, MASTER_KEY_BYTES + 1);
    }
    if (bytes?.length !== MASTER_KEY_BYTES)
      throw new IdentityError(
        'MASTER_KEY_WRONG',
        `The key file ${path} does not hold exactly ${MASTER_KEY_BYTES} bytes. Restore it from a backup; only if ` +
          `no store was ever made with it, run: rm ${quoted(path)}`,
      );
    return new MasterKey(bytes);
  });
}

/** A new random key, with which `rekey` replaces the file. */
export function nextMasterKeyForFile(options: Pick<KeyFileOptions, 'path'>): NextMasterKey {
  const path = resolve(options.path);
  const bytes = randomBytes(MASTER_KEY_BYTES);
  return {
    masterKey: new MasterKey(bytes),
    install: () =>
      withStoreErrors(path, async () => {
        await makeFolder(dirname(path));
        await removeLeftovers(dirname(path), path);
        await replaceFile(path, bytes);
      }),
  };
}

function keyMissing(path: string): IdentityError {
  return new IdentityError(
    'MASTER_KEY_WRONG',
    `The key file ${path} does not exist, and without it nothing in the secret store opens.`,
    { about: 'key_file' },
  );
}
