// WebAuthn for the console. Browsers refuse it on 127.0.0.1, so it works at http://localhost only; passkeys belong to
// that name, and each use to the console's own origin, with its port.

import { createHash } from 'node:crypto';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { HandlerContext, Interceptor } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import type { Actor, OperatorPasskeys, Passkey } from '@palyra/identity/registry';
import type { Clock } from '@palyra/identity/values';
import type {
  AuthenticationResponseJSON,
  AuthenticatorTransport,
  RegistrationResponseJSON,
} from '@simplewebauthn/server';
import { Acts, wrong } from './acts.ts';
import { actMethod, needsPasskey } from './consent.ts';

const rpId = 'localhost';
/** EdDSA, ES256, RS256 (COSE). */
const algorithms = [-8, -7, -257];
/** Time for the person at the browser's question, ms. */
const askMs = 60_000;
/** Characters of an answer of a browser. */
const maxAnswerLength = 16 * 1024;
/** Header of a call: the assertion as JSON, base64url. */
const assertionHeader = 'palyra-assertion';

/** Loaded with the first passkey, because it brings many modules. */
const webAuthn = () => import('@simplewebauthn/server');

export class ConsolePasskeys {
  readonly #passkeys: OperatorPasskeys;
  readonly #acts: Acts;
  readonly #registrations: Acts;
  readonly #origin: () => string;

  /** @param options.origin the console's, once it listens. */
  constructor(options: {
    readonly passkeys: OperatorPasskeys;
    readonly clock: Clock;
    readonly origin: () => string;
  }) {
    this.#passkeys = options.passkeys;
    this.#acts = new Acts(options.clock);
    this.#registrations = new Acts(options.clock);
    this.#origin = options.origin;
  }

  /** @returns the options for the browser, as JSON. */
  async beginRegistration(context: HandlerContext): Promise<string> {
    const { generateRegistrationOptions } = await webAuthn();
    const known = await this.#passkeys.list();
    const challenge = this.#registrations.begin(registrationOf(context));
    const options = await generateRegistrationOptions({
      rpName: 'Palyra',
      rpID: rpId,
      userName: 'operator',
      challenge: Buffer.from(challenge, 'base64url'),
      timeout: askMs,
      supportedAlgorithmIDs: algorithms,
      authenticatorSelection: { residentKey: 'discouraged', userVerification: 'required' },
      excludeCredentials: known.map(({ id }) => ({ id })),
    });
    return JSON.stringify(options);
  }

  /** @throws PASSKEY_WRONG, MESSAGE_INVALID */
  async register(
    name: string,
    responseJson: string,
    context: HandlerContext,
    actor: Actor,
  ): Promise<Passkey> {
    const response = parseAnswer<RegistrationResponseJSON>(responseJson);
    this.#registrations.take(challengeIn(response), registrationOf(context));
    const { verifyRegistrationResponse } = await webAuthn();
    const verified = await verifyRegistrationResponse({
      response,
      expectedChallenge: challengeIn(response),
      expectedOrigin: this.#origin(),
      expectedRPID: rpId,
      requireUserVerification: true,
      supportedAlgorithmIDs: algorithms,
    }).catch((cause) => {
      throw wrong('The browser did not make a passkey for this console.', cause);
    });
    if (!verified.verified) throw wrong('The browser did not make a passkey for this console.');
    const { id, publicKey, counter, transports = [] } = verified.registrationInfo.credential;
    const made = {
      id,
      publicKey: Buffer.from(publicKey).toString('base64url'),
      counter,
      name,
      transports: transports.filter((each) => /^[a-z-]{1,32}$/.test(each)).join(),
    };
    return this.#passkeys.add(made, actor);
  }

  /**
   * @param request of the call, binary.
   * @returns the options for the browser, as JSON.
   * @throws MESSAGE_INVALID
   */
  async beginAct(method: string, request: Uint8Array, context: HandlerContext): Promise<string> {
    const desc = actMethod(method);
    if (!desc) throw new IdentityError('MESSAGE_INVALID', 'No passkey is needed for this call.');
    let same: Uint8Array;
    try {
      // As the call will be encoded when it arrives.
      same = toBinary(desc.input, fromBinary(desc.input, request));
    } catch (cause) {
      throw new IdentityError('MESSAGE_INVALID', 'This is no request of that call.', { cause });
    }
    const challenge = this.#acts.begin({ method, request: same, session: sessionOf(context.requestHeader) });
    const { generateAuthenticationOptions } = await webAuthn();
    const options = await generateAuthenticationOptions({
      rpID: rpId,
      challenge: Buffer.from(challenge, 'base64url'),
      timeout: askMs,
      userVerification: 'required',
      allowCredentials: (await this.#passkeys.list()).map(({ id, transports }) => ({
        id,
        ...(transports && { transports: transports.split(',') as AuthenticatorTransport[] }),
      })),
    });
    return JSON.stringify(options);
  }

  /** Stands before every call in the console. @throws PASSKEY_REQUIRED, PASSKEY_WRONG */
  readonly interceptor: Interceptor = (next) => async (call) => {
    if (call.stream || !needsPasskey(call.method, call.message)) return next(call);
    const known = await this.#passkeys.list();
    if (known.length > 0) {
      const request = toBinary(call.method.input, call.message);
      const session = sessionOf(call.header);
      await this.#mustConsent(known, call.header, { method: call.method.name, request, session });
    }
    return next(call);
  };

  async #mustConsent(
    known: readonly Passkey[],
    header: Headers,
    act: { readonly method: string; readonly request: Uint8Array; readonly session: string },
  ): Promise<void> {
    const given = header.get(assertionHeader);
    if (given === null) {
      throw new IdentityError('PASSKEY_REQUIRED', 'This act needs one of your passkeys.');
    }
    const response = parseAnswer<AuthenticationResponseJSON>(Buffer.from(given, 'base64url').toString());
    const challenge = challengeIn(response);
    this.#acts.take(challenge, act);
    const passkey = known.find(({ id }) => id === response.id);
    if (!passkey) throw wrong('This passkey is not registered here.');
    const { verifyAuthenticationResponse } = await webAuthn();
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: this.#origin(),
      expectedRPID: rpId,
      requireUserVerification: true,
      credential: {
        id: passkey.id,
        publicKey: new Uint8Array(Buffer.from(passkey.publicKey, 'base64url')),
        // `use` judges it, in the change that stores the new one.
        counter: 0,
      },
    }).catch((cause) => {
      throw wrong('The passkey did not confirm this act on this console.', cause);
    });
    if (!verified) throw wrong('The passkey did not confirm this act on this console.');
    await this.#passkeys.use(passkey.id, { counter: authenticationInfo.newCounter, act: act.method });
  }
}

/** The page token is the secret of one session. */
function sessionOf(header: Headers): string {
  return createHash('sha256')
    .update(header.get('palyra-page') ?? '')
    .digest('base64url');
}

const registrationOf = ({ requestHeader }: HandlerContext) => ({
  method: 'AddPasskey',
  request: new Uint8Array(),
  session: sessionOf(requestHeader),
});

/** @throws PASSKEY_WRONG */
function parseAnswer<T extends { readonly response: { readonly clientDataJSON: string } }>(text: string): T {
  try {
    const answer = text.length <= maxAnswerLength ? JSON.parse(text) : undefined;
    if (typeof answer?.id === 'string' && typeof answer.response?.clientDataJSON === 'string') return answer;
  } catch {
    // The same answer as for anything else that is none.
  }
  throw wrong('The answer of the browser is not one of a passkey.');
}

/** The challenge that the browser signed, base64url. @throws PASSKEY_WRONG */
function challengeIn({ response }: { readonly response: { readonly clientDataJSON: string } }): string {
  try {
    const data: unknown = JSON.parse(Buffer.from(response.clientDataJSON, 'base64url').toString());
    if (typeof data === 'object' && data && 'challenge' in data && typeof data.challenge === 'string')
      return data.challenge;
  } catch {
    // Below.
  }
  throw wrong('The answer of the browser is not one of a passkey.');
}
