// Secrets in the daemon's own folder, each sealed (seal.ts) under a master key (master-key.ts).
//
//   <path>/               0700
//     lock                lock.ts
//     passphrase          passphrase.ts, only with a passphrase
//     <key id>/           the records of the master key with this id, generation.ts
//     <key id>.building/  new records of a rekey in progress
//     <key id>.removed/   replaced records, to be removed
//
// The master key selects the generation, so replacing the old key with the new one IS the switch of a rekey. If the
// process is killed before that, the old key opens the old records; after it, the new key opens the new ones. Either
// way, the next open removes the other generation.

import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { IdentityError } from '../errors.ts';
import { FileLock } from '../files/file-lock.ts';
import { Generation, wrongMasterKey } from './generation.ts';
import type { MasterKey, NextMasterKey } from './master-key.ts';
import { checkPrefix, checkSecretName } from './name.ts';
import { checkSecret, type SecretName, type SharedSecretStore } from './port.ts';
import {
  checkPrivate,
  makePrivateFolder,
  removeLeftovers,
  syncFolder,
  unlessMissing,
  withStoreErrors,
} from './private-file.ts';

export interface FilesystemSecretStoreOptions {
  /** The folder; created with 0700 if missing. */
  readonly path: string;
  /** From `masterKeyFromFile`, `masterKeyFromPassphrase`, `masterKeyFromCredential` or `masterKeyFromText`. */
  readonly masterKey: MasterKey;
}

/** Several processes may open one store. The operations of one instance run one after the other, in call order. */
export class FilesystemSecretStore implements SharedSecretStore {
  readonly #path: string;
  readonly #lock: FileLock;
  #generation: Generation;
  #last: Promise<unknown> = Promise.resolve();
  #unusable: Error | undefined;

  private constructor(path: string, lock: FileLock, generation: Generation) {
    this.#path = path;
    this.#lock = lock;
    this.#generation = generation;
  }

  /**
   * Opens or creates the store, and cleans up after a crash.
   * @throws MASTER_KEY_WRONG; STORE_PERMISSIONS if another user may access the folder or a file in it;
   * HOME_IN_USE while a rekey runs; STORE_FULL; STORE_FAILED.
   */
  static open(options: FilesystemSecretStoreOptions): Promise<FilesystemSecretStore> {
    const path = resolve(options.path);
    return withStoreErrors(path, async () => {
      await makePrivateFolder(path);
      const lock = await FileLock.open(join(path, 'lock'));
      try {
        const generation = new Generation(path, options.masterKey);
        // A process that has the store open has already cleaned up.
        if (lock.tryExclusive()) await recover(path, generation);
        await lock.shared();
        if ((await lstat(generation.folder).catch(unlessMissing)) === undefined) throw wrongMasterKey(path);
        await generation.check();
        return new FilesystemSecretStore(path, lock, generation);
      } catch (error) {
        lock.close();
        throw error;
      }
    });
  }

  async read(name: SecretName): Promise<Uint8Array> {
    checkSecretName(name);
    return this.#run(() => this.#generation.read(name));
  }

  async write(name: SecretName, secret: Uint8Array): Promise<void> {
    checkSecretName(name);
    checkSecret(secret);
    const copy = Uint8Array.from(secret);
    return this.#run(() => this.#generation.write(name, copy));
  }

  async writeNew(name: SecretName, secret: Uint8Array): Promise<Uint8Array> {
    checkSecretName(name);
    checkSecret(secret);
    const copy = Uint8Array.from(secret);
    return this.#run(() => this.#generation.writeNew(name, copy));
  }

  async delete(name: SecretName): Promise<void> {
    checkSecretName(name);
    return this.#run(() => this.#generation.delete(name));
  }

  async list(prefix = ''): Promise<SecretName[]> {
    checkPrefix(prefix);
    const names = await this.#run(() => this.#generation.names());
    return names.filter((name) => name.startsWith(prefix));
  }

  /**
   * Seals every record again under another master key and installs that key. If the process is killed at any point, the
   * store opens with the key installed at that moment, and nothing is lost. Without `install`, after a kill at the very
   * end, either key opens it.
   * @throws HOME_IN_USE if another process has the store open; SECRET_CORRUPT if a record cannot be read (nothing is
   *   changed); STORE_FULL, STORE_FAILED.
   */
  async rekey(next: NextMasterKey): Promise<void> {
    return this.#run(async () => {
      if (next.masterKey.id === this.#generation.masterKey.id)
        throw new TypeError('rekey takes another master key than the one in use');
      try {
        if (!this.#lock.tryExclusive())
          throw new IdentityError(
            'HOME_IN_USE',
            `Another process has the secret store at ${this.#path} open. Stop it, then change the master key.`,
          );
        await this.#replaceGeneration(next);
      } finally {
        await this.#lock.shared();
      }
    });
  }

  /** Closes the store after the earlier operations. */
  async close(): Promise<void> {
    await this.#last;
    this.#unusable = new TypeError('This secret store was closed');
    this.#lock.close();
  }

  async #replaceGeneration({ masterKey, install }: NextMasterKey): Promise<void> {
    const old = this.#generation;
    const building = new Generation(this.#path, masterKey, '.building');
    const fresh = new Generation(this.#path, masterKey);
    try {
      await remove(building.folder);
      await mkdir(building.folder, { mode: 0o700 });
      for (const name of await old.names()) await building.write(name, await old.read(name));
      await rename(building.folder, fresh.folder);
      await syncFolder(this.#path);
    } catch (error) {
      // Report the first error. The next open removes leftover files.
      await Promise.allSettled([remove(building.folder), remove(fresh.folder)]);
      throw error;
    }
    try {
      await install?.();
      await retire(this.#path, old.folder);
    } catch (cause) {
      // It is unknown which key is installed now, and a write into the wrong generation would be lost.
      this.#unusable = new IdentityError(
        'STORE_FAILED',
        `Changing the master key of ${this.#path} was interrupted. Nothing is lost: open the store again, with the ` +
          'master key that is in place now.',
        { cause },
      );
      throw this.#unusable;
    }
    this.#generation = fresh;
  }

  #run<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#unusable !== undefined) throw this.#unusable;
      return withStoreErrors(this.#path, operation);
    });
    // The caller gets the error. The next operation only waits.
    this.#last = result.catch(() => {});
    return result;
  }
}

/** Runs under the exclusive lock. Removes nothing before it knows that the key belongs to this store. */
async function recover(path: string, generation: Generation): Promise<void> {
  const entries = (await readdir(path)).filter((entry) =>
    /^[0-9a-f]{32}(\.building|\.removed)?$/.test(entry),
  );
  const folders = entries.map((entry) => join(path, entry));
  if (folders.includes(generation.folder)) {
    for (const folder of folders) if (folder !== generation.folder) await retire(path, folder);
  } else {
    if (entries.some((entry) => !entry.includes('.'))) throw wrongMasterKey(path);
    await mkdir(generation.folder, { mode: 0o700 });
    await syncFolder(path);
  }
  checkPrivate(generation.folder, await lstat(generation.folder), 'folder');
  await removeLeftovers(generation.folder);
}

/** Renames a generation, which retires it durably in one step, then removes it. */
async function retire(path: string, folder: string): Promise<void> {
  const complete = /[0-9a-f]{32}$/.test(folder);
  const leaving = complete ? `${folder}.removed` : folder;
  if (complete) {
    await remove(leaving);
    await rename(folder, leaving);
    await syncFolder(path);
  }
  await remove(leaving);
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
