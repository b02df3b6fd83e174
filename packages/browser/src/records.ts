// The device's records in IndexedDB. They are not encrypted, because they contain no private keys, and code that can read this
// origin's database can use the keys anyway.

import { checkSecret, type SecretStore, secretNotFound } from '@palyra/identity/device-portable';
import type { DeviceDatabase } from './database.ts';

export class IndexedRecords implements SecretStore {
  readonly #database: DeviceDatabase;

  constructor(database: DeviceDatabase) {
    this.#database = database;
  }

  async read(name: string): Promise<Uint8Array> {
    const value = await this.#database.get('records', name);
    if (!(value instanceof Uint8Array)) throw secretNotFound(name);
    return value;
  }

  async list(prefix = ''): Promise<string[]> {
    return (await this.#database.names('records')).filter((name) => name.startsWith(prefix)).sort();
  }

  async write(name: string, secret: Uint8Array): Promise<void> {
    checkSecret(secret);
    await this.#database.put('records', name, new Uint8Array(secret));
  }

  async delete(name: string): Promise<void> {
    const isThere = (await this.#database.names('records')).includes(name);
    if (!isThere) throw secretNotFound(name);
    await this.#database.delete('records', name);
  }
}
