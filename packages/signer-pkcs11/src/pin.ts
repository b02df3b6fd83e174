// Reads the token's PIN, and never tries a refused PIN again, because tokens lock after a few wrong ones.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { readCredential } from '@palyra/identity/keys';
import { codeOf, reasonOf } from '@palyra/identity/values';
import { CKR_USER_ALREADY_LOGGED_IN, isCode, isPinRefused } from './cryptoki.ts';

/** Longest PIN file, bytes. */
const maxPinBytes = 256;

/**
 * Reads the PIN. Ignores a line feed at the end, which editors add.
 * @throws STORE_PERMISSIONS if others may read the file, STORE_FAILED if there is none, SIGNER_PIN_WRONG for other
 *   contents.
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

/** Recognises a PIN that a token has accepted, without keeping the PIN. Exists only in memory. */
export class KnownPin {
  readonly salt: Uint8Array;
  readonly digest: Uint8Array;

  static of(pin: string): KnownPin {
    const salt = randomBytes(32);
    return new KnownPin({ salt, digest: digestOf(salt, pin) });
  }

  /** Also restores it from the plain data of another process. */
  constructor({ salt, digest }: Pick<KnownPin, 'salt' | 'digest'>) {
    this.salt = salt;
    this.digest = digest;
  }

  is(pin: string): boolean {
    return timingSafeEqual(digestOf(this.salt, pin), this.digest);
  }
}

const digestOf = (salt: Uint8Array, pin: string) => createHmac('sha256', salt).update(pin).digest();

const refusedWord = 'refused';
/** Most consecutive tries without an answer of the token. Tokens lock after three wrong PINs or more. */
const maxUnanswered = 2;

/**
 * A file that exists during a login. It stays if the token refuses the PIN, until somebody removes it. A marker in
 * memory would not be enough, because a service manager that restarts the daemon would use up the tries.
 */
export class PinMarker {
  readonly #path: string;
  readonly #pinFile: string;

  constructor(path: string, pinFile: string) {
    this.#path = path;
    this.#pinFile = pinFile;
  }

  /**
   * Checks whether the token may get the PIN. A try without an answer counts as a wrong PIN, unless the token reports
   * that it was not, or has accepted this PIN before.
   * @param noneWasWrong the token reports no wrong PIN since the last login, or cannot report it.
   * @returns the number of tries without an answer so far.
   * @throws SIGNER_PIN_WRONG if a PIN was refused, or may have been refused too often.
   */
  check({ isKnown, noneWasWrong }: { readonly isKnown: boolean; readonly noneWasWrong: boolean }): number {
    const text = this.#read();
    if (text === undefined) return 0;
    if (text === refusedWord) throw this.#refused(undefined);
    if (isKnown) return 0;
    // An empty file comes from a process that ended between creating and writing it.
    const tries = Number.parseInt(text, 10) || 1;
    if (!noneWasWrong || tries >= maxUnanswered) throw this.#unanswered();
    return tries;
  }

  #read(): string | undefined {
    try {
      return readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw this.#unusable(error);
    }
  }

  /**
   * Logs in under the protection of the marker.
   * @param tries the number of earlier tries without an answer.
   * @throws SIGNER_PIN_WRONG; STORE_FAILED, without a login, if the file cannot be written; errors of the login.
   */
  guard(tries: number, login: () => void): void {
    this.#write(String(tries + 1));
    try {
      login();
    } catch (error) {
      if (isPinRefused(error)) {
        this.#markRefused();
        throw this.#refused(error);
      }
      if (!isCode(error, CKR_USER_ALREADY_LOGGED_IN)) {
        this.#remove();
        throw error;
      }
    }
    this.#remove();
  }

  /** Writes durably, because the try must be recorded even after a power cut. */
  #write(text: string): void {
    try {
      const file = openSync(this.#path, 'w', 0o600);
      try {
        writeSync(file, text);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      this.#syncFolder();
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  #markRefused(): void {
    try {
      this.#write(refusedWord);
    } catch {
      // The number in the file prevents most further tries, and the token's flags prevent the others.
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
      `The token refused the PIN in ${this.#pinFile}. It is not tried again, because tokens lock after a few wrong PINs. Put the right PIN there, then run: rm ${this.#path}`,
      { cause },
    );
  }

  #unanswered(): IdentityError {
    return new IdentityError(
      'SIGNER_PIN_WRONG',
      `The token did not answer a login with the PIN in ${this.#pinFile}, so it is unknown whether the PIN is right. It is not tried again, because tokens lock after a few wrong PINs. Check the PIN, then run: rm ${this.#path}`,
    );
  }

  #unusable(cause: unknown): IdentityError {
    return new IdentityError(
      'STORE_FAILED',
      `${this.#path} cannot be written or removed (${reasonOf(cause)}), and without it there is no login, because wrong PINs must be counted. Check the owner and mode of the folder, and the free space on its disk.`,
      { cause },
    );
  }
}
