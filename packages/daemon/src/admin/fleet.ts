// The daemons that share the registry.

import { IdentityError } from '@palyra/identity';
import { transactBy } from '@palyra/identity/registry';
import { isUlid } from '@palyra/identity/values';
import { dueWorks } from '@palyra/rpc/admin';
import { actorOf } from '@palyra/rpc/transport';
import { millis } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

type Fleet = AdminServiceOptions['fleet'];

export function fleetMethods({ fleet, identity }: AdminServiceOptions): Methods<'forgetDaemon'> {
  return {
    async forgetDaemon({ id }, context) {
      const isForgotten =
        fleet !== undefined &&
        isUlid(id) &&
        (await transactBy(identity, actorOf(context), async (tx, by) => {
          if (!(await fleet.forget(tx, id))) return false;
          await tx.appendAudit({
            at: identity.clock.now(),
            action: 'daemon.forgotten',
            subject: id,
            detail: { ...(by && { by }) },
          });
          return true;
        }));
      if (isForgotten) return {};
      throw new IdentityError(
        'MESSAGE_INVALID',
        'No daemon of this fleet with this id is gone. One that runs is stopped first, and counts as gone a minute later.',
      );
    },
  };
}

/** What the status says about the daemons. */
export async function wireFleet(fleet: Fleet) {
  if (!fleet) return { daemons: [], dueWork: [] };
  const [members, channels, works] = await Promise.all([
    fleet.members(),
    fleet.channels.counts(),
    fleet.dueWork.dueWork(),
  ]);
  return {
    daemons: members.map((each) => ({
      id: each.id,
      version: each.version,
      endpoints: [...new Set(Object.values(each.endpoints).flat())],
      startedAtMs: millis(each.startedAt),
      seenAtMs: millis(each.seenAt),
      isThis: each.id === fleet.id,
      isGone: !each.isAlive,
      devices: channels.get(each.id) ?? 0,
      connections: Object.values(each.connections).reduce((sum, count) => sum + count, 0),
      databaseMs: each.databaseMs,
    })),
    dueWork: works.map(({ what, daemon, at }) => ({ what: dueWorks.toWire(what), daemon, atMs: millis(at) })),
  };
}
