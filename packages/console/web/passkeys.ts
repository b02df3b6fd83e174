// Passkeys in this browser: makes one, and answers a call that asks for one with an assertion over that very call.

import { toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError, type Interceptor } from '@connectrpc/connect';
import { ErrorInfoSchema } from '@palyra/rpc/admin';
import { startAuthentication, startRegistration, WebAuthnError } from '@simplewebauthn/browser';

/** The two calls with which the daemon takes part. */
export interface PasskeyCalls {
  beginAct(request: { method: string; request: Uint8Array }): Promise<{ optionsJson: string }>;
  beginPasskey(request: Record<string, never>): Promise<{ optionsJson: string }>;
  addPasskey(request: { name: string; responseJson: string }): Promise<unknown>;
}

/** @param calls undefined until the client exists. */
export const passkeyInterceptor =
  (calls: () => PasskeyCalls): Interceptor =>
  (next) =>
  async (call) => {
    try {
      return await next(call);
    } catch (error) {
      if (call.stream || !asksForPasskey(error)) throw error;
      const request = toBinary(call.method.input, call.message);
      const { optionsJson } = await calls().beginAct({ method: call.method.name, request });
      const assertion = await asked(() => startAuthentication({ optionsJSON: JSON.parse(optionsJson) }));
      call.header.set('palyra-assertion', base64url(JSON.stringify(assertion)));
      return next(call);
    }
  };

export async function makePasskey(calls: PasskeyCalls, name: string): Promise<void> {
  const { optionsJson } = await calls.beginPasskey({});
  const response = await asked(() => startRegistration({ optionsJSON: JSON.parse(optionsJson) }));
  await calls.addPasskey({ name, responseJson: JSON.stringify(response) });
}

const asksForPasskey = (error: unknown): boolean =>
  ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.code === 'PASSKEY_REQUIRED';

/** What the browser's question came to. @throws ConnectError that says so to the person */
async function asked<T>(question: () => Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (error) {
    const isKnown =
      error instanceof WebAuthnError && error.code === 'ERROR_AUTHENTICATOR_PREVIOUSLY_REGISTERED';
    throw new ConnectError(
      isKnown
        ? 'This passkey is registered already.'
        : 'No passkey was used: the question was closed, took too long, or this browser has none of yours. Nothing was changed.',
      Code.Canceled,
      undefined,
      undefined,
      error,
    );
  }
}

function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
