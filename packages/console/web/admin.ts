// The admin service as this page calls it.

import { Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { AdminService, ErrorInfoSchema } from '@palyra/rpc/admin';
import { currentPageToken, endSession, resume } from './session.ts';

/** What a person has done lately keeps the session; what the page does by itself does not. */
const attentionMs = 60_000;
let lastInput = performance.now();
for (const event of ['pointerdown', 'keydown', 'wheel', 'touchstart'] as const) {
  addEventListener(
    event,
    () => {
      const idleMs = performance.now() - lastInput;
      lastInput = performance.now();
      // Reading and scrolling are use as well, though they call nothing.
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
    // Another tab may have logged in anew.
    if (await resume()) return send();
    endSession('Your session has ended.');
    throw error;
  }
};

export const admin = createClient(
  AdminService,
  createConnectTransport({ baseUrl: location.origin, interceptors: [session] }),
);

export const isSignedOut = (error: unknown): boolean =>
  error instanceof ConnectError && error.code === Code.Unauthenticated;

/** For people, with the stable code where there is one. */
export function problemText(error: unknown): string {
  const wire = ConnectError.from(error);
  const code = wire.findDetails(ErrorInfoSchema)[0]?.code;
  if (!code && wire.code === Code.Unavailable) return 'The daemon does not answer.';
  return code ? `${wire.rawMessage} [${code}]` : wire.rawMessage;
}

export function problemCode(error: unknown): string {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.code ?? '';
}
