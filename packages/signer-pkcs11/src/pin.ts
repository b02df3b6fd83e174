// The token's PIN: where it comes from, and that one which was refused is never tried again. Tokens lock after a few.

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

/** A PIN that a token has accepted, in a form that only serves to recognise it. Lives in memory. */
export class KnownPin {
  readonly salt: Uint8Array;
  readonly digest: Uint8Array;

  static of(pin: string): KnownPin {
    const salt = randomBytes(32);
    return new KnownPin({ salt, digest: digestOf(salt, pin) });
  }

  /** Also of one that came from another process as plain data. */
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
/** Tries in a row that may end without the token's answer. Tokens lock after three wrong PINs or more. */
const maxUnanswered = 2;

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

  /**
   * Whether the PIN may be given to the token. One that was asked and never answered counts as a wrong try only as far as
   * nothing speaks against it: the token's own word, or that it has accepted this PIN before.
   * @param noneWasWrong the token says that it was given no wrong PIN since the last login, or does not tell.
   * @returns tries without an answer so far.
   * @throws SIGNER_PIN_WRONG when a PIN was refused, or may have been too often.
   */
  check({ isKnown, noneWasWrong }: { readonly isKnown: boolean; readonly noneWasWrong: boolean }): number {
    const text = this.#read();
    if (text === undefined) return 0;
    if (text === refusedWord) throw this.#refused(undefined);
    if (isKnown) return 0;
    // An empty file is from a process that ended between making it and writing into it.
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
   * Gives the token its PIN, which it may refuse.
   * @param tries without an answer before this one.
   * @throws SIGNER_PIN_WRONG; STORE_FAILED, with no login, when the file cannot be written; what the login throws.
   */
  guard(tries: number, login: () => void): void {
    this.#write(String(tries + 1));
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

  #saysRefused(): void {
    try {
      this.#write(refusedWord);
    } catch {
      // The number that is there stands against most further tries, and the token's flags against the others.
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
      `The token refused the PIN in ${this.#pinFile}. It is not tried again, because tokens lock after a few wrong ones. Put the right one there, then run: rm ${this.#path}`,
      { cause },
    );
  }

  #unanswered(): IdentityError {
    return new IdentityError(
      'SIGNER_PIN_WRONG',
      `The token did not answer when it was given the PIN in ${this.#pinFile}, so nobody knows whether it is the right one. It is not tried again, because tokens lock after a few wrong ones. Check the PIN, then run: rm ${this.#path}`,
    );
  }

  #unusable(cause: unknown): IdentityError {
    return new IdentityError(
      'STORE_FAILED',
      `${this.#path} cannot be written or removed (${reasonOf(cause)}), and without it the token is not given its PIN: wrong ones must be counted. Check the folder's owner and mode, and that its disk has room.`,
      { cause },
    );
  }
}
