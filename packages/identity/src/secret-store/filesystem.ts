// Secrets in a folder of the daemon's own, each sealed (seal.ts) under a master key (master-key.ts).
//
//   <path>/               0700
//     lock                lock.ts
//     passphrase          only with a passphrase, passphrase.ts
//     <key id>/           the records of the master key with this id, generation.ts
//     <key id>.building/  what a rekey has written so far
//     <key id>.removed/   what it replaced, on its way out
//
// The key that opens the store says which generation counts, so putting the new key where the old one was IS the
// switch of a rekey: killed before it, the old key opens the old records; after it, the new key the new ones. Either
// way the next open removes the rest.

import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { IdentityError } from '../errors.ts';
import { FileLock } from '../files/file-lock.ts';
import { Generation, wrongMasterKey } from './generation.ts';
import type { MasterKey, NextMasterKey } from './master-key.ts';
import { checkPrefix, checkSecretName } from './name.ts';
import { checkSecret, type SecretName, type SecretStore } from './port.ts';
import {
  checkPrivate,
  makePrivateFolder,
  removeLeftovers,
  syncFolder,
  unlessMissing,
  withStoreErrors,
} from './private-file.ts';

export interface FilesystemSecretStoreOptions {
  /** The folder; made, 0700, when it is not there. */
  readonly path: string;
  /** From `masterKeyFromFile`, `masterKeyFromPassphrase`, `masterKeyFromCredential` or `masterKeyFromText`. */
  readonly masterKey: MasterKey;
}

/** Several processes may have one store open; operations of one instance run one after the other, in call order. */
export class FilesystemSecretStore implements SecretStore {
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
   * Opens the store, makes it when there is none, and puts right what a crash left.
   * @throws MASTER_KEY_WRONG; STORE_PERMISSIONS when anyone else may touch the folder or a file in it;
   * HOME_IN_USE while a rekey runs; STORE_FULL; STORE_FAILED.
   */
  static open(options: FilesystemSecretStoreOptions): Promise<FilesystemSecretStore> {
    const path = resolve(options.path);
    return withStoreErrors(path, async () => {
      await makePrivateFolder(path);
      const lock = await FileLock.open(join(path, 'lock'));
      try {
        const generation = new Generation(path, options.masterKey);
        // Whoever has it open has put it right already.
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
   * Seals every record anew under another master key and installs that key. Killed at any point, the store opens
   * with the key that is installed then, with nothing lost. Without `install`, and killed at the very end, either
   * key opens it.
   * @throws HOME_IN_USE when another process has the store open; SECRET_CORRUPT when a record cannot be carried over
   * (nothing is changed); STORE_FULL, STORE_FAILED.
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

  /** Lets go of the store, when what was asked before is done. */
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
      // The first error is the one to report; the next open removes what stays.
      await Promise.allSettled([remove(building.folder), remove(fresh.folder)]);
      throw error;
    }
    try {
      await install?.();
      await retire(this.#path, old.folder);
    } catch (cause) {
      // Which key is installed cannot be told from here, and a write into the wrong generation would be lost.
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
    // Whoever asked for it is told; who comes next only waits.
    this.#last = result.catch(() => {});
    return result;
  }
}

/** Runs alone. Nothing is removed before the key has proved to be one of this store. */
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

/** Takes a generation out of the way at once and for good, then removes it. */
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
