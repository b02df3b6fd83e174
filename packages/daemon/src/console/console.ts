// The console: pages, sessions and the admin service behind them.

import { consolePages } from '@palyra/console';
import { IdentityError } from '@palyra/identity';
import type { CallObserver } from '@palyra/rpc/transport';
import { type AdminServiceOptions, adminRoutes } from '../admin/routes.ts';
import type { DaemonConfig } from '../config.ts';
import { listenAt } from '../listeners/places.ts';
import { listenConsole } from './listener.ts';
import { ConsolePages } from './pages.ts';
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
  const { host, port } = options.config;
  const { sessions } = options;
  const shared = {
    host,
    sessions,
    pages: await ConsolePages.load(consolePages),
    // A session that could make login links could outlive its own end.
    routes: adminRoutes({ ...options.admin, consoleLogin: refuseLogin }),
    onInternal: options.onError,
    observe: options.observe,
  };
  const listening = listenConsole({ ...shared, port: port ?? usualPort }).catch((cause) => {
    if (cause.code === 'EADDRINUSE' && port === undefined) return listenConsole({ ...shared, port: 0 });
    throw cause;
  });
  const listener = await listenAt({ name: 'console', host, port: port ?? usualPort }, listening);
  return {
    address: `http://${listener.address}`,
    login() {
      const { secret, expiresAt } = sessions.mintLogin();
      return { url: `http://${listener.address}/#login=${secret}`, expiresAt };
    },
    close: () => listener.close(),
  };
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
