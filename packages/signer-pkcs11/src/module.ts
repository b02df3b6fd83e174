// A vendor's PKCS #11 module, loaded into the process that talks to tokens.

import { IdentityError } from '@palyra/identity';
import { installAgain } from '@palyra/identity/values';
import { CKF_OS_LOCKING_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED, type Cryptoki, isCode } from './cryptoki.ts';

export class CryptokiModule {
  readonly api: Cryptoki;
  /** Counts the initialisations: a session of an earlier one is gone. */
  generation = 0;

  /** @throws SIGNER_UNAVAILABLE when the native library or the module cannot be loaded, or the module does not start. */
  static async load(path: string): Promise<CryptokiModule> {
    const api = await library();
    try {
      api.load(path);
    } catch (cause) {
      throw new IdentityError('SIGNER_UNAVAILABLE', unusable(path, (cause as Error).message), { cause });
    }
    try {
      return new CryptokiModule(api);
    } catch (cause) {
      // What is loaded is a module: some do not start without their token.
      throw new IdentityError(
        'SIGNER_UNAVAILABLE',
        `The PKCS #11 module ${path} does not start: ${(cause as Error).message}. Check that its token is plugged in, and that its own configuration is there.`,
        { cause },
      );
    }
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
}

async function library(): Promise<Cryptoki> {
  // A name that the compiler does not look up: it is an optional dependency.
  const name: string = 'pkcs11js';
  try {
    const { default: pkcs11js } = await import(name);
    return new pkcs11js.PKCS11();
  } catch (cause) {
    throw new IdentityError(
      'SIGNER_UNAVAILABLE',
      `A CA key in a token needs the package ${name}, which is not built here for ${process.platform}-${process.arch}. It is compiled when it is installed: get a C++ compiler, make and python3 first (Debian: apt-get install build-essential python3), and let npm run its install script. ${installAgain(name, import.meta.filename)}`,
      { cause },
    );
  }
}

/** @param said by the loader, in words that differ between systems. */
function unusable(path: string, said: string): string {
  const start = `The PKCS #11 module ${path}`;
  if (/wrong ELF class|incompatible architecture|wrong architecture|Exec format error/i.test(said))
    return `${start} is built for another processor architecture than this one (${process.arch}). Install the vendor's library for ${process.arch}, and name it in caKey.module.`;
  if (/cannot open shared object file|no such file/i.test(said)) {
    const missing = /^(?:.*?: )?([^\s:]+\.so[^\s:]*): cannot open shared object file/.exec(said)?.[1];
    return missing === undefined || missing === path
      ? `${start} does not exist. Check caKey.module.`
      : `${start} needs the library ${missing}, which is not installed. Install it; caKey.module itself is there.`;
  }
  if (
    /invalid ELF header|file too short|not a mach-o|no suitable image|undefined symbol|not found/i.test(said)
  )
    return `${start} is not a PKCS #11 library. Check caKey.module.`;
  return `${start} cannot be used. Check caKey.module, and what the vendor says the module needs.`;
}
