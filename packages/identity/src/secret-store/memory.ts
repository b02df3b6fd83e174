// A secret store in memory, which the process loses when it ends. For tests, and for devices that pair again each time.

import { checkPrefix, checkSecretName } from './name.ts';
import { checkSecret, type SecretName, type SharedSecretStore, secretNotFound } from './port.ts';

export class MemorySecretStore implements SharedSecretStore {
  readonly #secrets = new Map<SecretName, Uint8Array>();

  async read(name: SecretName): Promise<Uint8Array> {
    checkSecretName(name);
    const secret = this.#secrets.get(name);
    if (secret === undefined) throw secretNotFound(name);
    return Uint8Array.from(secret);
  }

  async write(name: SecretName, secret: Uint8Array): Promise<void> {
    checkSecretName(name);
    checkSecret(secret);
    this.#secrets.set(name, Uint8Array.from(secret));
  }

  async writeNew(name: SecretName, secret: Uint8Array): Promise<Uint8Array> {
    checkSecretName(name);
    checkSecret(secret);
    if (!this.#secrets.has(name)) await this.write(name, secret);
    return this.read(name);
  }

  async delete(name: SecretName): Promise<void> {
    checkSecretName(name);
    if (!this.#secrets.delete(name)) throw secretNotFound(name);
  }

  async list(prefix = ''): Promise<SecretName[]> {
    checkPrefix(prefix);
    return [...this.#secrets.keys()].filter((name) => name.startsWith(prefix)).sort();
  }
}
