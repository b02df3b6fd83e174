// A vendor's PKCS #11 module in this process. It is initialised once for the whole process, whoever uses it, and asked
// one thing at a time: initialising it again, which is how a token that was away is found, must not meet a call at work.

import { IdentityError } from '@palyra/identity';
import { CKF_OS_LOCKING_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED, type Cryptoki, isCode } from './cryptoki.ts';

/** How long a caller waits for the token, ms. */
const callTimeoutMs = 10_000;
/** Callers that wait at one time. */
const maxWaiting = 1_000;

const loaded = new Map<string, Promise<CryptokiModule>>();

export class CryptokiModule {
  readonly api: Cryptoki;
  /** Counts the initialisations: a session of an earlier one is gone. */
  generation = 0;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** @throws SIGNER_UNAVAILABLE when the native library or the module cannot be loaded. */
  static load(path: string): Promise<CryptokiModule> {
    const present = loaded.get(path);
    if (present) return present;
    const loading = loadModule(path);
    loaded.set(path, loading);
    loading.catch(() => loaded.delete(path));
    return loading;
  }

  constructor(api: Cryptoki) {
    this.api = api;
    this.initialize();
  }

  initialize(): void {
    try {
      if (this.generation > 0) this.api.C_Finalize();
    } catch {
      // It was not initialised: the last attempt failed.
    }
    this.generation += 1;
    try {
      this.api.C_Initialize({ flags: CKF_OS_LOCKING_OK });
    } catch (error) {
      if (!isCode(error, CKR_CRYPTOKI_ALREADY_INITIALIZED)) throw error;
    }
  }

  /**
   * Runs it when everything before it is done.
   * @throws SIGNER_UNAVAILABLE when that takes too long; TOO_MANY_REQUESTS; what the work throws.
   */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= maxWaiting) {
      throw new IdentityError(
        'TOO_MANY_REQUESTS',
        'Too many signatures wait for the token. Try again later.',
        {
          retryAfterMs: 1_000,
        },
      );
    }
    this.#waiting += 1;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let isGivenUp = false;
    const timer = setTimeout(() => {
      isGivenUp = true;
      reject(
        new IdentityError(
          'SIGNER_UNAVAILABLE',
          `The token did not answer in ${callTimeoutMs / 1000} seconds.`,
        ),
      );
    }, callTimeoutMs);
    this.#last = this.#last
      .then(async () => {
        if (!isGivenUp) resolve(await work());
      })
      .catch(reject)
      .finally(() => {
        clearTimeout(timer);
        this.#waiting -= 1;
      });
    return promise;
  }
}

async function loadModule(path: string): Promise<CryptokiModule> {
  // A name that the compiler does not look up.
  const library: string = 'pkcs11js';
  let api: Cryptoki;
  try {
    const { default: pkcs11js } = await import(library);
    api = new pkcs11js.PKCS11();
  } catch (cause) {
    throw new IdentityError(
      'SIGNER_UNAVAILABLE',
      'A CA key in a token needs the package pkcs11js, which is not installed or not built here. It is compiled at the installation: install a C++ compiler, make and python3 (Debian: apt-get install build-essential python3), then run npm ci again.',
      { cause },
    );
  }
  try {
    api.load(path);
    return new CryptokiModule(api);
  } catch (cause) {
    throw new IdentityError(
      'SIGNER_UNAVAILABLE',
      `The PKCS #11 module ${path} cannot be used: ${(cause as Error).message}. Check caKey.module, and what the module itself needs.`,
      { cause },
    );
  }
}
