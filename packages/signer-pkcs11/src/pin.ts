// The token's PIN: where it comes from, and that one which was refused is never tried again. Tokens lock after a few.

import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  check(): void {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw this.#unusable(error);
    }
    throw text === refusedWord ? this.#refused(undefined) : this.#unanswered();
  }

  /**
   * Gives the token its PIN, which it may refuse. In one go: a process that ends of its own will does not end in it.
   * @throws SIGNER_PIN_WRONG; STORE_FAILED, with no login, when the file cannot be written; what the login throws.
   */
  guard(login: () => void): void {
    this.#put();
    try {
      login();
    } catch (error) {
      if (isPinRefused(error)) {
        this.#saysRefused();
        throw this.#refused(error);
      }
      if (!isCode(error, CKR_USER_ALREADY_LOGGED_IN)) {
        this.#remove();
        throw error;
      }
    }
    this.#remove();
  }

  /** Durable: after a power cut, too, it must be known that a try was taken. */
  #put(): void {
    try {
      closeSync(openSync(this.#path, 'wx', 0o600));
    } catch (error) {
      // Another process of this home is asking the token.
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') this.check();
      throw this.#unusable(error);
    }
    try {
      this.#syncFolder();
    } catch (error) {
      rmSync(this.#path, { force: true });
      throw this.#unusable(error);
    }
  }

  #saysRefused(): void {
    try {
      writeFileSync(this.#path, refusedWord);
    } catch {
      // The file that is there says enough.
    }
  }

  #remove(): void {
    try {
      rmSync(this.#path, { force: true });
      this.#syncFolder();
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  /** An empty file is its entry in the folder. */
  #syncFolder(): void {
    const folder = openSync(dirname(this.#path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
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
