// A token with a given label: a logged-in session, which is reopened after the token was removed.

import { IdentityError } from '@palyra/identity';
import {
  CKF_RW_SESSION,
  CKF_SERIAL_SESSION,
  CKF_USER_PIN_COUNT_LOW,
  CKF_USER_PIN_FINAL_TRY,
  CKF_USER_PIN_INITIALIZED,
  CKF_USER_PIN_LOCKED,
  CKU_USER,
  type Cryptoki,
  type Handle,
} from './cryptoki.ts';
import type { CryptokiModule } from './module.ts';
import { KnownPin, PinMarker, readPin } from './pin.ts';
import type { TokenOptions } from './token-call.ts';

export interface Session {
  readonly api: Cryptoki;
  readonly handle: Handle;
  readonly serial: string;
  /** Known private keys, by id. */
  readonly keys: Map<string, Handle>;
  readonly generation: number;
}

/** Pause after a failure, ms. */
const restMs = 1_000;

export class Token {
  readonly #module: CryptokiModule;
  readonly #options: TokenOptions;
  readonly #marker: PinMarker;
  #serial: string | undefined;
  #session: Session | undefined;
  #failure: { readonly error: unknown; readonly until: number } | undefined;

  /** The PIN that the token has accepted. */
  knownPin: KnownPin | undefined;

  constructor(module: CryptokiModule, options: TokenOptions) {
    this.#module = module;
    this.#options = options;
    this.#marker = new PinMarker(options.refusedMarker, options.pinFile);
    this.#serial = options.serial;
  }

  /**
   * Runs work in a session, and again in a new session if it fails: some modules notice only then that a token was
   * removed or has returned.
   * @throws SIGNER_UNAVAILABLE, SIGNER_MISMATCH, SIGNER_PIN_WRONG, STORE_FAILED, and our own errors from the work.
   */
  async use<T>(work: (session: Session) => T): Promise<T> {
    if (this.#failure && performance.now() < this.#failure.until) throw this.#failure.error;
    const present = this.#session;
    try {
      if (present?.generation === this.#module.generation) {
        try {
          return work(present);
        } catch {
          this.#session = undefined;
        }
      }
      if (present || this.#failure) this.#module.initialize();
      this.#failure = undefined;
      this.#session = await this.#open();
      return work(this.#session);
    } catch (error) {
      const said = this.#explain(error);
      // A missing key does not mean that the others are missing.
      if (said.code !== 'SECRET_NOT_FOUND') {
        this.#session = undefined;
        this.#failure = { error: said, until: performance.now() + restMs };
      }
      throw said;
    }
  }

  /** Closing the last session of a process logs out. */
  close(): void {
    const session = this.#session;
    this.#session = undefined;
    if (session?.generation === this.#module.generation) this.#module.api.C_CloseSession(session.handle);
  }

  async #open(): Promise<Session> {
    const { api, generation } = this.#module;
    const { label, pinFile } = this.#options;
    const tokens = api.C_GetSlotList(true).map((slot) => ({ slot, ...api.C_GetTokenInfo(slot) }));
    const [token, another] = tokens.filter((each) => each.label.trimEnd() === label);
    if (!token) throw unavailable(`The token "${label}" was not found. Plug it in, or check caKey.token.`);
    if (another) throw unavailable(`Two tokens have the label "${label}". Change the label of one.`);
    const serial = token.serialNumber.trim();
    // Checked before the login: a different token would count a wrong PIN, or learn the right one.
    if (this.#serial !== undefined && serial !== this.#serial) throw mismatch(label, serial, this.#serial);
    this.#checkFlags(token.flags);
    const pin = await readPin(pinFile);
    const isKnown = this.knownPin?.is(pin) ?? false;
    const noneWasWrong = (token.flags & CKF_USER_PIN_COUNT_LOW) === 0;
    const tries = this.#marker.check({ isKnown, noneWasWrong });
    const handle = api.C_OpenSession(token.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
    try {
      this.#marker.guard(tries, () => api.C_Login(handle, CKU_USER, pin));
    } catch (error) {
      api.C_CloseSession(handle);
      throw error;
    }
    this.#serial = serial;
    if (!isKnown) this.knownPin = KnownPin.of(pin);
    return { api, handle, generation, serial, keys: new Map() };
  }

  #checkFlags(flags: number): void {
    const { label, module } = this.#options;
    const ask = `pkcs11-tool --module ${module} --token-label ${label}`;
    const problem = (what: string) => new IdentityError('SIGNER_PIN_WRONG', `The token "${label}" ${what}`);
    if ((flags & CKF_USER_PIN_LOCKED) !== 0)
      throw problem(
        `is locked: it was given too many wrong PINs. Unlock it with its SO PIN: ${ask} --login --login-type so --init-pin`,
      );
    if ((flags & CKF_USER_PIN_INITIALIZED) === 0)
      throw problem(
        `has no user PIN yet. Set one with its SO PIN: ${ask} --login --login-type so --init-pin`,
      );
    if ((flags & CKF_USER_PIN_FINAL_TRY) !== 0)
      throw problem(
        `locks with the next wrong PIN, so the daemon does not try. Log in to it yourself first: ${ask} --login --list-objects`,
      );
  }

  #explain(error: unknown): IdentityError {
    if (error instanceof IdentityError) return error;
    const { label } = this.#options;
    return unavailable(
      `The token "${label}" failed: ${(error as Error).message}. Check that it is plugged in and has free space.`,
      error,
    );
  }
}

function mismatch(label: string, serial: string, expected: string): IdentityError {
  return new IdentityError(
    'SIGNER_MISMATCH',
    `The CA keys of this home are in the token with the serial number ${expected}; the token "${label}" (serial number ${serial}) is a different one and did not get the PIN. Plug in the first token. If its keys were restored into this one, set caKey.serial in the configuration to the new serial number.`,
  );
}

function unavailable(message: string, cause?: unknown): IdentityError {
  return new IdentityError('SIGNER_UNAVAILABLE', message, { cause });
}
