// The console: pages, sessions and the admin service behind them.

import { consolePages } from '@palyra/console';
import { IdentityError } from '@palyra/identity';
import { codeOf } from '@palyra/identity/values';
import type { CallObserver } from '@palyra/rpc/transport';
import { type AdminServiceOptions, adminRoutes } from '../admin/routes.ts';
import type { DaemonConfig } from '../config.ts';
import { listenAt } from '../listeners/places.ts';
import { listenConsole } from './listener.ts';
import { ConsolePages } from './pages.ts';
import { ConsolePasskeys } from './passkeys.ts';
import type { ConsoleSessions } from './sessions.ts';

export interface Console {
  readonly address: string;
  readonly login: AdminServiceOptions['consoleLogin'];
  close(): Promise<void>;
}

const usualPort = 7445;

/** @throws UNREACHABLE if the configured port is in use. */
export async function startConsole(options: {
  readonly config: DaemonConfig['console'];
  readonly sessions: ConsoleSessions;
  readonly admin: Omit<AdminServiceOptions, 'consoleLogin'>;
  readonly onError: (error: unknown, where: string) => void;
  readonly observe?: CallObserver | undefined;
}): Promise<Console> {
  const { port } = options.config;
  const { sessions, admin } = options;
  let origin = '';
  const passkeys = new ConsolePasskeys({
    passkeys: admin.identity.passkeys,
    clock: admin.identity.clock,
    origin: () => origin,
  });
  const shared = {
    sessions,
    pages: await ConsolePages.load(consolePages),
    // A session that could make login links could outlive its own end.
    routes: adminRoutes({ ...admin, consoleLogin: refuseLogin, consolePasskeys: passkeys }),
    interceptor: passkeys.interceptor,
    onInternal: options.onError,
    observe: options.observe,
  };
  const listener = await listenAt(
    { name: 'console', host: '127.0.0.1', port: port ?? usualPort },
    listenFirst(shared, port),
  );
  origin = listener.origin;
  return {
    address: origin,
    login() {
      const { secret, expiresAt } = sessions.mintLogin();
      return { url: `${origin}/#login=${secret}`, expiresAt };
    },
    close: () => listener.close(),
  };
}

/** Attempts to find a port that is free on both loopback addresses. */
const portAttempts = 8;

/** At the configured port, or at the usual one, or at any that is free. */
async function listenFirst(
  options: Omit<Parameters<typeof listenConsole>[0], 'port'>,
  port: number | undefined,
) {
  for (let attempt = 1; ; attempt += 1) {
    const wanted = port ?? (attempt === 1 ? usualPort : 0);
    try {
      return await listenConsole({ ...options, port: wanted });
    } catch (cause) {
      const mayTryOther = port === undefined || port === 0;
      if (codeOf(cause) !== 'EADDRINUSE' || !mayTryOther || attempt === portAttempts) throw cause;
    }
  }
}

/** For callers that do not use the admin socket. */
export function refuseLogin(): never {
  throw new IdentityError('CALLER_NOT_ALLOWED', "Only the daemon's own machine can make a login link.", {
    about: 'console_login',
  });
}

/** For a daemon whose configuration has turned the console off. */
export function refuseWithoutConsole(): never {
  throw new IdentityError(
    'NOTHING_FOUND',
    'This daemon has no console: console.enabled is false in its config.json.',
  );
}
