// The client of the admin service.

import { type Client, Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import type { ErrorFields } from '@palyra/identity/errors';
import { AdminService, ErrorInfoSchema, fieldsOf } from '@palyra/rpc/admin';
import { nextStep } from './next-step.ts';
import { passkeyInterceptor } from './passkeys.ts';
import { currentPageToken, endSession, resume } from './session.ts';

/** Recent input of the person extends the session. Calls that the page makes by itself do not. */
const attentionMs = 60_000;
let lastInput = performance.now();
for (const event of ['pointerdown', 'keydown', 'wheel', 'touchstart'] as const) {
  addEventListener(
    event,
    () => {
      const idleMs = performance.now() - lastInput;
      lastInput = performance.now();
      // Reading and scrolling also count as use, although they make no calls.
      if (idleMs > attentionMs && currentPageToken()) admin.getStatus({}).catch(() => {});
    },
    { passive: true, capture: true },
  );
}

const session: Interceptor = (next) => async (request) => {
  const send = () => {
    request.header.set('palyra-page', currentPageToken());
    const isBackground = request.stream || performance.now() - lastInput > attentionMs;
    if (isBackground) request.header.set('palyra-background', '1');
    else request.header.delete('palyra-background');
    return next(request);
  };
  try {
    return await send();
  } catch (error) {
    if (!isSignedOut(error)) throw error;
    // Another tab may have logged in again.
    if (await resume()) return send();
    endSession('Your session has ended.');
    throw error;
  }
};

export const admin: Client<typeof AdminService> = createClient(
  AdminService,
  createConnectTransport({
    baseUrl: location.origin,
    interceptors: [passkeyInterceptor(() => admin), session],
  }),
);

export const isSignedOut = (error: unknown): boolean =>
  error instanceof ConnectError && error.code === Code.Unauthenticated;

/** For people: what happened, what to do, and the stable code where there is one. */
export function problemText(error: unknown): string {
  const wire = ConnectError.from(error);
  const info = wire.findDetails(ErrorInfoSchema)[0];
  if (!info && wire.code === Code.Unavailable) return 'The daemon does not answer.';
  return info ? withStep(wire.rawMessage, info.code, fieldsOf(info)) : wire.rawMessage;
}

export function withStep(message: string, code: string, fields: ErrorFields = {}): string {
  const step = nextStep(code, fields);
  return `${message}${step && ` ${step}`} [${code}]`;
}

export function problemCode(error: unknown): string {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.code ?? '';
}
