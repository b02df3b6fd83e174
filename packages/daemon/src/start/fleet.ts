// What a daemon takes over from the others that share its database.

import type { IdentityManager } from '@palyra/identity';
import type { DaemonCredential } from './credential.ts';
import type { Run } from './run.ts';

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
