// palyra.admin.v1, the service for operators. Each subject has a file; a method decodes, makes one call and encodes.

import type { ConnectRouter, ServiceImpl } from '@connectrpc/connect';
import { AdminService } from '@palyra/rpc';
import { auditMethods } from './audit.ts';
import { authorityMethods } from './authority.ts';
import { capabilityMethods } from './capabilities.ts';
import { deviceMethods } from './devices.ts';
import { fleetMethods } from './fleet.ts';
import { millis } from './messages.ts';
import type { AdminServiceOptions } from './options.ts';
import { pairingMethods } from './pairings.ts';
import { passkeyMethods } from './passkeys.ts';
import { statusMethods } from './status.ts';

export type { AdminServiceOptions } from './options.ts';

export function adminRoutes(options: AdminServiceOptions) {
  const methods: ServiceImpl<typeof AdminService> = {
    ...statusMethods(options),
    ...pairingMethods(options),
    ...deviceMethods(options),
    ...capabilityMethods(options),
    ...authorityMethods(options),
    ...auditMethods(options),
    ...passkeyMethods(options),
    ...fleetMethods(options),
    createConsoleLogin() {
      const { url, expiresAt } = options.consoleLogin();
      return { url, expiresAtMs: millis(expiresAt) };
    },
  };
  return (router: ConnectRouter): void => {
    router.service(AdminService, methods);
  };
}
