// Loads a vendor's PKCS #11 module into the token process.

import { IdentityError } from '@palyra/identity';
import { installAgain } from '@palyra/identity/values';
import { CKF_OS_LOCKING_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED, type Cryptoki, isCode } from './cryptoki.ts';

export class CryptokiModule {
  readonly api: Cryptoki;
  /** Counts the initialisations. Sessions of an earlier one are invalid. */
  generation = 0;

  /** @throws SIGNER_UNAVAILABLE if the native library or the module cannot be loaded, or the module does not start. */
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
      // The library is a PKCS #11 module, but some modules do not start without their token.
      throw new IdentityError(
        'SIGNER_UNAVAILABLE',
        `The PKCS #11 module ${path} does not start: ${(cause as Error).message}. Check that its token is plugged in, and that its configuration exists.`,
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
      // The module was not initialised, because the last attempt failed.
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
  // A variable keeps the compiler from resolving this optional dependency.
  const name: string = 'pkcs11js';
  try {
    const { default: pkcs11js } = await import(name);
    return new pkcs11js.PKCS11();
  } catch (cause) {
    throw new IdentityError(
      'SIGNER_UNAVAILABLE',
      `A CA key in a token needs the package ${name}, which is not built for ${process.platform}-${process.arch}. Its installation compiles it: first install a C++ compiler, make and python3 (Debian: apt-get install build-essential python3), and allow npm to run its install script. ${installAgain(name, import.meta.filename)}`,
      { cause },
    );
  }
}

/** @param said the loader's message, which differs between systems. */
function unusable(path: string, said: string): string {
  const start = `The PKCS #11 module ${path}`;
  if (/wrong ELF class|incompatible architecture|wrong architecture|Exec format error/i.test(said))
    return `${start} is not built for this processor architecture (${process.arch}). Install the vendor's library for ${process.arch}, and name it in caKey.module.`;
  if (/cannot open shared object file|no such file/i.test(said)) {
    const missing = /^(?:.*?: )?([^\s:]+\.so[^\s:]*): cannot open shared object file/.exec(said)?.[1];
    return missing === undefined || missing === path
      ? `${start} does not exist. Check caKey.module.`
      : `${start} needs the library ${missing}, which is not installed. Install that library; caKey.module itself exists.`;
  }
  if (
    /invalid ELF header|file too short|not a mach-o|no suitable image|undefined symbol|not found/i.test(said)
  )
    return `${start} is not a PKCS #11 library. Check caKey.module.`;
  return `${start} cannot be used. Check caKey.module, and the vendor's requirements for the module.`;
}
