// The records of one master key: a folder named by the key's id, one file per secret. A file's name is
// HMAC-SHA-256 of the secret's name under a separate key, in hex, so the folder does not reveal the names.

import { lstat, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { IdentityError } from '../errors.ts';
import type { MasterKey } from './master-key.ts';
import { type SecretName, secretNotFound } from './port.ts';
import {
  checkPrivate,
  createFile,
  readPrivateFile,
  replaceFile,
  syncFolder,
  unlessMissing,
} from './private-file.ts';
import {
  MAX_RECORD_BYTES,
  openRecord,
  openRecordName,
  RECORD_HEAD_BYTES,
  recordLabel,
  sealRecord,
} from './seal.ts';

export class Generation {
  readonly masterKey: MasterKey;
  readonly folder: string;
  readonly #fileNameOf: (name: SecretName) => string;

  /** @param suffix of the folder's name during a rekey. */
  constructor(storePath: string, masterKey: MasterKey, suffix = '') {
    this.masterKey = masterKey;
    this.folder = join(storePath, masterKey.id + suffix);
    this.#fileNameOf = recordLabel(masterKey);
  }

  /** @throws STORE_PERMISSIONS if another user may access the folder or a record. */
  async check(): Promise<void> {
    checkPrivate(this.folder, await lstat(this.folder), 'folder');
    for (const file of await this.#files()) {
      const stats = await lstat(join(this.folder, file)).catch(unlessMissing);
      if (stats !== undefined) checkPrivate(join(this.folder, file), stats, 'file');
    }
  }

  async read(name: SecretName): Promise<Uint8Array> {
    const path = this.#path(name);
    const record = await readPrivateFile(path, MAX_RECORD_BYTES + 1);
    if (record === undefined) throw await this.#notFound(name);
    return openRecord(this.masterKey, name, record, `The secret "${name}" (${path})`);
  }

  async write(name: SecretName, secret: Uint8Array): Promise<void> {
    await replaceFile(this.#path(name), sealRecord(this.masterKey, name, secret));
  }

  /** Another process may have stored one meanwhile. @returns the stored secret. */
  async writeNew(name: SecretName, secret: Uint8Array): Promise<Uint8Array> {
    const path = this.#path(name);
    // Without a write, because the disk may be full.
    if ((await lstat(path).catch(unlessMissing)) === undefined)
      await createFile(path, sealRecord(this.masterKey, name, secret));
    return this.read(name);
  }

  async delete(name: SecretName): Promise<void> {
    const removed = await unlink(this.#path(name)).then(() => true, unlessMissing);
    if (removed === undefined) throw await this.#notFound(name);
    await syncFolder(this.folder);
  }

  /** All names, sorted. */
  async names(): Promise<SecretName[]> {
    const names: SecretName[] = [];
    for (const file of await this.#files()) {
      const path = join(this.folder, file);
      const head = await readPrivateFile(path, RECORD_HEAD_BYTES);
      if (head === undefined) continue;
      const name = openRecordName(this.masterKey, head, `The record ${path}`);
      if (path !== this.#path(name))
        throw new IdentityError(
          'SECRET_CORRUPT',
          `The record ${path} is the record of "${name}" under another name. Restore it from a backup.`,
        );
      names.push(name);
    }
    return names.sort();
  }

  async #files(): Promise<string[]> {
    return (await readdir(this.folder)).filter((entry) => /^[0-9a-f]{64}$/.test(entry));
  }

  #path(name: SecretName): string {
    return join(this.folder, this.#fileNameOf(name));
  }

  /** A missing folder must not look like an empty store, because its owner would create new keys. */
  async #notFound(name: SecretName): Promise<IdentityError> {
    await lstat(this.folder);
    return secretNotFound(name);
  }
}

export function wrongMasterKey(storePath: string): IdentityError {
  return new IdentityError(
    'MASTER_KEY_WRONG',
    `The secret store at ${storePath} was sealed under another master key than the one given. Check the key file, ` +
      'passphrase or credential. If the key is lost, restore store and key from the same backup.',
  );
}
