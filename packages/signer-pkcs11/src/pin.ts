// The token's PIN: where it comes from, and that one which was refused is never tried again. Tokens lock after a few.

import { access, writeFile } from 'node:fs/promises';
import { IdentityError, readCredential } from '@palyra/identity';

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

/**
 * A file that is there after a PIN was refused, until somebody takes it away. In memory alone it would not do: a service
 * manager that starts the daemon again would use up the tries.
 */
export class RefusedPin {
  readonly #marker: string;
  readonly #pinFile: string;
  #isUnwritten = false;

  constructor(marker: string, pinFile: string) {
    this.#marker = marker;
    this.#pinFile = pinFile;
  }

  /** @throws SIGNER_PIN_WRONG when one was refused. */
  async check(): Promise<void> {
    const isThere = await access(this.#marker).then(
      () => true,
      (error) => error.code !== 'ENOENT',
    );
    if (isThere || this.#isUnwritten) throw this.error(undefined);
  }

  async remember(): Promise<void> {
    await writeFile(this.#marker, '', { mode: 0o600 }).catch(() => {
      this.#isUnwritten = true;
    });
  }

  error(cause: unknown): IdentityError {
    return new IdentityError(
      'SIGNER_PIN_WRONG',
      `The token refused the PIN in ${this.#pinFile}. It is not tried again, because tokens lock after a few wrong ones. Put the right one there, then run: rm ${this.#marker}`,
      { cause },
    );
  }
}
