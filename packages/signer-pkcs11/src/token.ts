// One token, held by its label: a session that is logged in, and opened again when the token was away.

import { IdentityError } from '@palyra/identity';
import {
  type Attribute,
  CKA_CLASS,
  CKA_ID,
  CKA_KEY_TYPE,
  CKA_TOKEN,
  CKF_RW_SESSION,
  CKF_SERIAL_SESSION,
  CKF_USER_PIN_FINAL_TRY,
  CKF_USER_PIN_LOCKED,
  CKK_EC,
  CKU_USER,
  type Cryptoki,
  type Handle,
} from './cryptoki.ts';
import { CryptokiModule } from './module.ts';
import { PinMarker, readPin } from './pin.ts';

export interface TokenOptions {
  /** Path of the vendor's PKCS #11 module. */
  readonly module: string;
  readonly label: string;
  /** File with the user PIN; read at each login. */
  readonly pinFile: string;
  /** Of the one token that may have the PIN. Default: of the first that is there. */
  readonly serial?: string | undefined;
  /** File that is there while the token is asked; after it refused the PIN, it stands against another try. */
  readonly refusedMarker: string;
}

export interface Session {
  readonly api: Cryptoki;
  readonly handle: Handle;
  readonly serial: string;
  /** Private keys that were found, by id. */
  readonly keys: Map<string, Handle>;
  readonly generation: number;
}

/** After a failure the token is left alone for so long, ms: looking for it stops everything else for a moment. */
const restMs = 1_000;

export class Token {
  readonly #module: CryptokiModule;
  readonly #options: TokenOptions;
  readonly #marker: PinMarker;
  #serial: string | undefined;
  #session: Session | undefined;
  #failure: { readonly error: unknown; readonly until: number } | undefined;

  /** @throws SIGNER_UNAVAILABLE, SIGNER_MISMATCH, SIGNER_PIN_WRONG, and what reading the PIN file says. */
  static async open(options: TokenOptions): Promise<{ token: Token; serial: string }> {
    const token = new Token(await CryptokiModule.load(options.module), options);
    return { token, serial: await token.use(({ serial }) => serial) };
  }

  private constructor(module: CryptokiModule, options: TokenOptions) {
    this.#module = module;
    this.#options = options;
    this.#marker = new PinMarker(options.refusedMarker, options.pinFile);
    this.#serial = options.serial;
  }

  /**
   * Does it in a session, and once more in a new one when it fails: some modules notice only then that a token was
   * away, or that it is back.
   * @throws SIGNER_UNAVAILABLE, SIGNER_MISMATCH, SIGNER_PIN_WRONG, STORE_FAILED, and our own errors from the work.
   */
  use<T>(work: (session: Session) => T | Promise<T>): Promise<T> {
    return this.#module.run(async () => {
      if (this.#failure && performance.now() < this.#failure.until) throw this.#failure.error;
      const present = this.#session;
      try {
        if (present?.generation === this.#module.generation) {
          try {
            return await work(present);
          } catch {
            this.#session = undefined;
          }
        }
        if (present || this.#failure) this.#module.initialize();
        this.#failure = undefined;
        this.#session = await this.#open();
        return await work(this.#session);
      } catch (error) {
        const said = this.#explain(error);
        // That one key is missing says nothing about the others.
        if (said.code !== 'SECRET_NOT_FOUND') {
          this.#session = undefined;
          this.#failure = { error: said, until: performance.now() + restMs };
        }
        throw said;
      }
    });
  }

  /** The last session of a process logs out as it goes. */
  async close(): Promise<void> {
    await this.#module
      .run(async () => {
        if (this.#session) this.#module.api.C_CloseSession(this.#session.handle);
        this.#session = undefined;
      })
      // Of a token that is away there is nothing to close.
      .catch(() => {});
  }

  async #open(): Promise<Session> {
    const { api, generation } = this.#module;
    const { label, pinFile, module } = this.#options;
    this.#marker.check();
    const tokens = api.C_GetSlotList(true).map((slot) => ({ slot, ...api.C_GetTokenInfo(slot) }));
    const [token, another] = tokens.filter((each) => each.label.trimEnd() === label);
    if (!token) throw unavailable(`The token "${label}" is not there. Plug it in, or check caKey.token.`);
    if (another) throw unavailable(`Two tokens are called "${label}". Give one another label.`);
    const serial = token.serialNumber.trim();
    // Before it has the PIN: another token would count a wrong one, or keep the right one.
    if (this.#serial !== undefined && serial !== this.#serial) throw mismatch(label, serial, this.#serial);
    if ((token.flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)) !== 0) {
      throw new IdentityError(
        'SIGNER_PIN_WRONG',
        `The token "${label}" is locked, or locks with the next wrong PIN, which is not risked here. Log in to it yourself first: pkcs11-tool --module ${module} --token-label ${label} --login --list-objects`,
      );
    }
    const pin = await readPin(pinFile);
    const handle = api.C_OpenSession(token.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    try {
      this.#marker.guard(() => api.C_Login(handle, CKU_USER, pin));
    } catch (error) {
      api.C_CloseSession(handle);
      throw error;
    }
    this.#serial = serial;
    return { api, handle, generation, serial, keys: new Map() };
  }

  #explain(error: unknown): IdentityError {
    if (error instanceof IdentityError) return error;
    const { label } = this.#options;
    return unavailable(
      `The token "${label}" does not do its work: ${(error as Error).message}. Check that it is plugged in and has room.`,
      error,
    );
  }
}

/** The objects of this kind under this id; more than one is one too many. */
export function findObjects({ api, handle }: Session, objectClass: number, id: string): Handle[] {
  const template: Attribute[] = [
    { type: CKA_CLASS, value: objectClass },
    { type: CKA_KEY_TYPE, value: CKK_EC },
    { type: CKA_TOKEN, value: true },
    { type: CKA_ID, value: Buffer.from(id) },
  ];
  api.C_FindObjectsInit(handle, template);
  try {
    return api.C_FindObjects(handle, 2);
  } finally {
    api.C_FindObjectsFinal(handle);
  }
}

function mismatch(label: string, serial: string, expected: string): IdentityError {
  return new IdentityError(
    'SIGNER_MISMATCH',
    `The CA keys of this home are in the token with the serial number ${expected}; the token "${label}" (serial number ${serial}) is another one and was not given the PIN. Give back the first. If its keys were restored into this one, say so in the configuration: caKey.serial.`,
  );
}

function unavailable(message: string, cause?: unknown): IdentityError {
  return new IdentityError('SIGNER_UNAVAILABLE', message, { cause });
}
