// The parts of the browser's IndexedDB that this package uses: two stores of values by name. A value may be a key that cannot be
// exported. The browser keeps such a key, and only lets pages use it.

import { IdentityError } from '@palyra/identity/portable';

interface Request<T> {
  readonly result: T;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}

interface OpenRequest extends Request<Database> {
  onupgradeneeded: (() => void) | null;
}

interface Database {
  createObjectStore(name: string): unknown;
  transaction(store: string, mode: 'readonly' | 'readwrite', options: { durability: 'strict' }): Transaction;
  close(): void;
  onversionchange: (() => void) | null;
  onclose: (() => void) | null;
}

interface Transaction {
  readonly error: Error | null;
  objectStore(name: string): ObjectStore;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
}

interface ObjectStore {
  get(name: string): Request<unknown>;
  getAllKeys(): Request<string[]>;
  put(value: unknown, name: string): Request<unknown>;
  delete(name: string): Request<unknown>;
}

/** Records, and keys that cannot be exported. */
export type StoreName = 'records' | 'keys';

const version = 1;

export class DeviceDatabase {
  /** Resolves when the database is deleted, or the browser takes it away. */
  readonly lost: Promise<void>;
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.lost = promise;
    database.onclose = () => resolve();
    database.onversionchange = () => {
      // Closes at once, so that other code that deletes the database need not wait for this page.
      database.close();
      resolve();
    };
  }

  /** @throws STORE_FAILED */
  static async open(name: string): Promise<DeviceDatabase> {
    const { indexedDB } = globalThis as { indexedDB?: { open(name: string, version: number): OpenRequest } };
    if (!indexedDB)
      throw new IdentityError('STORE_FAILED', 'This page has no IndexedDB, so it cannot keep a key.');
    try {
      const request = indexedDB.open(name, version);
      request.onupgradeneeded = () => {
        for (const store of ['records', 'keys'] satisfies StoreName[])
          request.result.createObjectStore(store);
      };
      return new DeviceDatabase(await settled(request));
    } catch (cause) {
      throw failed(cause);
    }
  }

  get(store: StoreName, name: string): Promise<unknown> {
    return this.#run(store, 'readonly', (objects) => objects.get(name));
  }

  names(store: StoreName): Promise<string[]> {
    return this.#run(store, 'readonly', (objects) => objects.getAllKeys());
  }

  /** The value is durable when the promise resolves. */
  async put(store: StoreName, name: string, value: unknown): Promise<void> {
    await this.#run(store, 'readwrite', (objects) => objects.put(value, name));
  }

  /** Durable when the promise resolves. No effect if there is no such value. */
  async delete(store: StoreName, name: string): Promise<void> {
    await this.#run(store, 'readwrite', (objects) => objects.delete(name));
  }

  close(): void {
    this.#database.close();
  }

  async #run<T>(
    store: StoreName,
    mode: 'readonly' | 'readwrite',
    work: (objects: ObjectStore) => Request<T>,
  ): Promise<T> {
    try {
      const transaction = this.#database.transaction(store, mode, { durability: 'strict' });
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      const request = work(transaction.objectStore(store));
      await promise;
      return request.result;
    } catch (cause) {
      throw failed(cause);
    }
  }
}

function settled<T>(request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function failed(cause: unknown): IdentityError {
  if (cause instanceof Error && cause.name === 'QuotaExceededError')
    return new IdentityError('STORE_FULL', 'The browser gives this page no more space.', { cause });
  return new IdentityError('STORE_FAILED', "The browser's IndexedDB failed. Reload the page.", { cause });
}
