// What a daemon does as one of several that share a database: shows itself to the others, and follows their changes.

import type { IdentityManager } from '@palyra/identity';
import { credentialNames, type DaemonCredential } from './credential.ts';
import type { Run } from './run.ts';
import type { Stores } from './stores.ts';

/** Takes over changes of the authorities that another daemon has made: the chains of devices, and this daemon's certificate. */
export function followAuthorities(identity: IdentityManager, credential: DaemonCredential, run: Run): void {
  const follow = async () => {
    await identity.reloadAuthority();
    await credential.present();
  };
  run.undo(
    identity.registry.subscribe(({ type }) => {
      if (type === 'authorities_changed' || type === 'changes_missed')
        follow().catch((error) => run.onError(error, 'taking over changes of the authorities'));
    }),
  );
}

/**
 * Shows this daemon to the others, and learns of their names, which no device may have. Does nothing for a daemon that has its
 * registry alone.
 */
export async function announce(
  { fleet, config, identity }: Stores,
  version: string,
  run: Run,
): Promise<void> {
  if (!fleet) return;
  await fleet.announce({
    version,
    endpoints: config.endpoints,
    peerAddresses: [],
    certificates: [],
    connections: {},
    names: credentialNames(config),
    startedAt: run.startedAt,
  });
  for (const { names } of await fleet.members()) identity.reserveNames(names);
}
