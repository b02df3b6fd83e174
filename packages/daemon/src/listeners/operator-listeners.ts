// The listeners for operators on the daemon's own machine: the console for a browser, the admin socket for `palyra`.

import type { ConnectRouter } from '@connectrpc/connect';
import { type CallObserver, reflectionRoutes } from '@palyra/rpc/transport';
import { listenAdmin } from '../admin/listener.ts';
import { type AdminServiceOptions, adminRoutes } from '../admin/routes.ts';
import { refuseWithoutConsole, startConsole } from '../console/console.ts';
import type { ConsoleSessions } from '../console/sessions.ts';
import { withFileErrors } from '../home/file-error.ts';
import { rememberConfig } from '../home/home.ts';
import { atOnce, type Run } from '../start/run.ts';
import type { Stores } from '../start/stores.ts';
import type { OpenListeners } from './open-listeners.ts';

export interface OperatorListenersOptions {
  readonly stores: Stores;
  readonly admin: Omit<AdminServiceOptions, 'consoleLogin'>;
  readonly sessions: ConsoleSessions;
  readonly observe: CallObserver;
  readonly listeners: OpenListeners;
}

export async function listenForOperators(
  { stores, admin, sessions, observe, listeners }: OperatorListenersOptions,
  run: Run,
): Promise<void> {
  const { config, home } = stores;
  const { onError } = run;
  const console = config.console.enabled
    ? await startConsole({ config: config.console, sessions, admin, onError, observe })
    : undefined;
  if (console) {
    run.undo(() => console.close());
    listeners.add({ name: 'console', address: console.address, close: () => console.close() });
  }
  // Opened last: nothing after this can prevent the start, and no command finds the daemon earlier.
  await rememberConfig(home);
  const consoleLogin = console?.login ?? refuseWithoutConsole;
  const routes = (router: ConnectRouter) => {
    adminRoutes({ ...admin, consoleLogin })(router);
    reflectionRoutes(router);
  };
  const socket = await withFileErrors(home.adminSocket, () =>
    listenAdmin(home.adminSocket, routes, onError, observe),
  );
  run.undo(() => socket.close(atOnce));
  listeners.add({ name: 'admin', address: home.adminSocket, close: (until) => socket.close(until) });
}
