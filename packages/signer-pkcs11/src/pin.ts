// The token's PIN: where it comes from, and that one which was refused is never tried again. Tokens lock after a few.

import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { IdentityError, readCredential } from '@palyra/identity';
import { CKR_USER_ALREADY_LOGGED_IN, isCode, isPinRefused } from './cryptoki.ts';

/** Longest PIN file, bytes. */
const maxPinBytes = 256;

/**
 * A line feed at the end is the editor's, not the person's.
 * @throws STORE_PERMISSIONS when others may read it, STORE_FAILED when there is none, SIGNER_PIN_WRONG for no PIN.
 */
export async function readPin(path: string): Promise<string> {
  const bytes = await readCredential(path, maxPinBytes);
  const problem = (what: string) =>
    new IdentityError('SIGNER_PIN_WRONG', `The PIN file ${path} ${what}. Give a file with one line of text.`);
  if (bytes.length > maxPinBytes) throw problem('is too long');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw problem('is not text');
  }
  const pin = text.replace(/\r?\n$/, '');
  if (pin === '') throw problem('is empty');
  if (/[\0\r\n]/.test(pin)) throw problem('has more than one line');
  return pin;
}

const refusedWord = 'refused';

/**
 * A file that is there while the token is asked, and stays when it refuses the PIN, until somebody takes it away. In
 * memory alone it would not do: a service manager that starts the daemon again would use up the tries.
 */
export class PinMarker {
  readonly #path: string;
  readonly #pinFile: string;

  constructor(path: string, pinFile: string) {
    this.#path = path;
    this.#pinFile = pinFile;
  }

  /** @throws SIGNER_PIN_WRONG when one was refused, or may have been. */
  async check(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch((error) => {
      if (error.code !== 'ENOENT') throw this.#unusable(error);
    });
    if (text === undefined) return;
    throw text === refusedWord ? this.#refused(undefined) : this.#unanswered();
  }

  /**
   * Gives the token its PIN, which it may refuse.
   * @throws SIGNER_PIN_WRONG; STORE_FAILED, with no login, when the file cannot be written; what the login throws.
   */
  async guard(login: () => void): Promise<void> {
    await this.#put();
    try {
      login();
    } catch (error) {
      if (isPinRefused(error)) {
        // If that cannot be said any more, the file that is there says enough.
        await writeFile(this.#path, refusedWord).catch(() => {});
        throw this.#refused(error);
      }
      if (!isCode(error, CKR_USER_ALREADY_LOGGED_IN)) {
        await this.#remove();
        throw error;
      }
    }
    await this.#remove();
  }

  /** Durable: after a power cut, too, it must be known that a try was taken. */
  async #put(): Promise<void> {
    try {
      await using file = await open(this.#path, 'wx', 0o600);
      await file.sync();
      await this.#syncFolder();
    } catch (error) {
      // Another process of this home is asking the token.
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') await this.check();
      else await rm(this.#path, { force: true }).catch(() => {});
      throw this.#unusable(error);
    }
  }

  async #remove(): Promise<void> {
    try {
      await rm(this.#path, { force: true });
      await this.#syncFolder();
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  async #syncFolder(): Promise<void> {
    await using folder = await open(dirname(this.#path));
    await folder.sync();
  }

  #refused(cause: unknown): IdentityError {
    return new IdentityError(
      'SIGNER_PIN_WRONG',
      `The token refused the PIN in ${this.#pinFile}. It is not tried again, because tokens lock after a few wrong ones. Put the right one there, then run: rm ${this.#path}`,
      { cause },
    );
  }

  #unanswered(): IdentityError {
    return new IdentityError(
      'SIGNER_PIN_WRONG',
      `Palyra ended while it gave the token the PIN in ${this.#pinFile}, and does not know whether the token took it. It is not tried again, because tokens lock after a few wrong ones. Check that it is the right one, then run: rm ${this.#path}`,
    );
  }

  #unusable(cause: unknown): IdentityError {
    return new IdentityError(
      'STORE_FAILED',
      `${this.#path} cannot be written or removed (${(cause as Error).message}), and without it the token is not given its PIN: wrong ones must be counted. Check the folder's owner and mode, and that its disk has room.`,
      { cause },
    );
  }
}
