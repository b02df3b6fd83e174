// A read-only view of a secret store in a folder (filesystem.ts): it creates, repairs and writes nothing.

import { lstat, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FileLock } from '../files/file-lock.ts';
import type { FilesystemSecretStoreOptions } from './filesystem.ts';
import { Generation, wrongMasterKey } from './generation.ts';
import { checkSecretName } from './name.ts';
import type { SecretName, SecretReader } from './port.ts';
import { checkPrivate, unlessMissing, withStoreErrors } from './private-file.ts';

export class FilesystemSecretReader implements SecretReader {
  readonly #path: string;
  readonly #lock: FileLock | undefined;
  readonly #generation: Generation;

  private constructor(path: string, lock: FileLock | undefined, generation: Generation) {
    this.#path = path;
    this.#lock = lock;
    this.#generation = generation;
  }

  /**
   * Opens the store. A rekey is refused until the reader is closed.
   * @throws STORE_FAILED if there is no store; MASTER_KEY_WRONG; STORE_PERMISSIONS if another user may access the folder
   *   or
   *   a file in it; HOME_IN_USE while a rekey runs.
   */
  static open(options: FilesystemSecretStoreOptions): Promise<FilesystemSecretReader> {
    const path = resolve(options.path);
    return withStoreErrors(path, async () => {
      checkPrivate(path, await lstat(path), 'folder');
      const lock = await FileLock.openForReading(join(path, 'lock'));
      try {
        await lock?.shared();
        const generation = new Generation(path, options.masterKey);
        if ((await lstat(generation.folder).catch(unlessMissing)) === undefined) throw wrongMasterKey(path);
        await generation.check();
        return new FilesystemSecretReader(path, lock, generation);
      } catch (error) {
        lock?.close();
        throw error;
      }
    });
  }

  async read(name: SecretName): Promise<Uint8Array> {
    checkSecretName(name);
    return withStoreErrors(this.#path, () => this.#generation.read(name));
  }

  async list(prefix = ''): Promise<SecretName[]> {
    const names = await withStoreErrors(this.#path, () => this.#generation.names());
    return names.filter((name) => name.startsWith(prefix));
  }

  async close(): Promise<void> {
    this.#lock?.close();
  }
}

/** Whether this folder ever had a store. If so, no new store may take its place. */
export async function hasSecretStore(path: string): Promise<boolean> {
  const entries = await withStoreErrors(path, () => readdir(path).catch(unlessMissing));
  return entries?.some((entry) => /^[0-9a-f]{32}$/.test(entry)) ?? false;
}
