// What the admin service works on: the parts of this daemon.

import type { AdminServiceOptions } from '../admin/options.ts';
import type { Connections } from '../channels/connections.ts';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import { shownAddress } from '../shown-address.ts';
import type { DaemonCredential } from './credential.ts';
import type { Run } from './run.ts';
import type { Stores } from './stores.ts';
import type { VitalSigns } from './vital-signs.ts';

export function adminOptions(
  parts: {
    readonly home: string;
    readonly stores: Stores;
    readonly signs: VitalSigns;
    readonly channels: DeviceChannels;
    readonly connections: Connections;
    readonly listeners: OpenListeners;
    readonly credential: DaemonCredential;
    readonly version: string;
  },
  run: Run,
): Omit<AdminServiceOptions, 'consoleLogin'> {
  const { stores, signs, channels, listeners, credential, version } = parts;
  const { identity, config } = stores;
  return {
    identity,
    channels,
    connections: parts.connections,
    fleet: stores.fleet,
    home: parts.home,
    version,
    startedAt: run.startedAt,
    pairingAddress: () =>
      config.endpoints.pairing[0] ?? shownAddress(config.pairing.host, listeners.portOf('pairing')),
    authorityChanged: async () => {
      await identity.reloadAuthority();
      await credential.present();
    },
    listeners: () => listeners.addresses,
    problems: signs.problems,
    audit: signs.audit,
    backups: signs.backups,
    health: signs.health,
    stopping: run.stopping,
  };
}
