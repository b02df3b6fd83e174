// One secret in the keychain of this person's operating system: a Secret Service on Linux (GNOME, KDE), Keychain on macOS. The
// library is optional, and many machines have no keychain.

import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';

/** The part of `@napi-rs/keyring` that is used. Its own types are not imported, because the package may be missing. */
interface Entry {
  getSecret(): Promise<ArrayLike<number> | null>;
  setSecret(secret: Uint8Array): Promise<void>;
  deleteCredential(): Promise<boolean>;
}

const service = 'palyra';
/** Without this, the library would fall back to the kernel's keyring, which forgets its keys when the machine restarts. */
const onlyPersistent = { linux: { store: 'secret-service' } };
/** A locked keychain asks its owner first, ms. */
const timeoutMs = 60_000;

export class Keychain {
  readonly #entry: Entry;

  /** @param account names the secret. @throws STORE_FAILED if this machine has no keychain. */
  static async open(account: string): Promise<Keychain> {
    const name: string = '@napi-rs/keyring';
    let AsyncEntry: new (service: string, account: string, options: object) => Entry;
    try {
      ({ AsyncEntry } = await import(name));
    } catch (cause) {
      throw new IdentityError(
        'STORE_FAILED',
        'No keychain can be used here: the package @napi-rs/keyring is missing.',
        {
          cause,
        },
      );
    }
    try {
      return new Keychain(new AsyncEntry(service, account, onlyPersistent));
    } catch (cause) {
      throw unusable(cause);
    }
  }

  private constructor(entry: Entry) {
    this.#entry = entry;
  }

  /** @returns undefined if there is no such secret, or if the keychain hides it while it is locked. @throws STORE_FAILED */
  async read(): Promise<Uint8Array | undefined> {
    const secret = await inTime(this.#entry.getSecret());
    return secret ? Uint8Array.from(secret) : undefined;
  }

  /** @throws STORE_FAILED if the keychain did not keep the secret. */
  async write(secret: Uint8Array): Promise<void> {
    await inTime(this.#entry.setSecret(secret));
    const kept = await this.read();
    if (!kept || Buffer.compare(kept, secret) !== 0) throw unusable(new Error('it did not keep the key'));
  }

  /** @throws STORE_FAILED */
  async remove(): Promise<void> {
    await inTime(this.#entry.deleteCredential());
  }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    return await Promise.race([work, promise]);
  } catch (cause) {
    throw unusable(cause);
  } finally {
    clearTimeout(timer);
  }
}

const unusable = (cause: unknown) =>
  new IdentityError('STORE_FAILED', `No keychain can be used here: ${reasonOf(cause)}.`, { cause });
