// The SQL of the table `channels`.

import { sql } from 'kysely';
import { prepared } from '../executor.ts';
import { compiler, serverNow } from './statements.ts';
import type { ChannelsTable } from './tables.ts';

export interface ClaimColumns {
  readonly devices: readonly string[];
  readonly daemon: string;
  readonly claims: readonly string[];
  readonly replaces: readonly string[];
  readonly agents: readonly string[];
  readonly facts: readonly string[];
}

type Each = Pick<ChannelsTable, 'device_id' | 'claim' | 'replaces' | 'agent' | 'facts'>;

export type ChannelStatements = ReturnType<typeof channelStatements>;

export function channelStatements() {
  const db = compiler;
  const silentMs = sql<number | null>`${serverNow} - d.seen_at`.as('silent');
  return {
    // A claim is refused if another daemon has the channel and the claim does not name its claim. One row for each device.
    claim: prepared((values: ClaimColumns) =>
      db
        .insertInto('channels')
        .columns(['device_id', 'daemon', 'claim', 'replaces', 'agent', 'facts', 'ended', 'changed_at'])
        .expression(
          db
            .selectFrom(
              sql<Each>`unnest(${values.devices}::text[], ${values.claims}::text[], ${values.replaces}::text[], ${values.agents}::text[], ${values.facts}::text[])`.as(
                sql`each(device_id, claim, replaces, agent, facts)`,
              ),
            )
            .select([
              sql<string>`each.device_id`.as('device_id'),
              sql<string>`${values.daemon}::text`.as('daemon'),
              sql<string>`each.claim`.as('claim'),
              sql<string>`each.replaces`.as('replaces'),
              sql<string>`each.agent`.as('agent'),
              sql<string>`each.facts`.as('facts'),
              sql<boolean>`false`.as('ended'),
              serverNow.as('changed_at'),
            ]),
        )
        .onConflict((conflict) =>
          conflict
            .column('device_id')
            .doUpdateSet((row) => ({
              daemon: row.ref('excluded.daemon'),
              claim: row.ref('excluded.claim'),
              replaces: row.ref('excluded.replaces'),
              agent: row.ref('excluded.agent'),
              facts: row.ref('excluded.facts'),
              ended: row.ref('excluded.ended'),
              changed_at: row.ref('excluded.changed_at'),
            }))
            .where(
              sql<boolean>`channels.ended or channels.daemon = excluded.daemon or channels.claim = excluded.replaces`,
            ),
        )
        .returning('claim'),
    ),
    release: prepared((values: { claims: readonly string[]; devices: readonly string[] }) =>
      db
        .updateTable('channels')
        .set({ ended: true, changed_at: serverNow })
        .where('device_id', '=', sql<string>`any(${values.devices}::text[])`)
        .where('claim', '=', sql<string>`any(${values.claims}::text[])`),
    ),
    find: prepared((values: { devices: readonly string[] }) =>
      db
        .selectFrom('channels as c')
        .leftJoin('daemons as d', 'd.id', 'c.daemon')
        .select(['c.device_id', 'c.daemon', 'c.claim', 'c.agent', 'c.facts', silentMs])
        .where('c.device_id', '=', sql<string>`any(${values.devices}::text[])`)
        .where('c.ended', '=', false),
    ),
    count: prepared((_: object) =>
      db
        .selectFrom('channels')
        .select(['daemon', sql<number>`count(*)`.as('count')])
        .where('ended', '=', false)
        .groupBy('daemon'),
    ),
    changedAfter: prepared((values: { at: number; limit: number }) =>
      db
        .selectFrom('channels')
        .select(['device_id', 'changed_at'])
        .where('changed_at', '>', values.at)
        .orderBy('changed_at')
        .limit(values.limit),
    ),
    now: prepared((_: object) => db.selectNoFrom(serverNow.as('now'))),
    own: prepared((values: { daemon: string }) =>
      db
        .selectFrom('channels')
        .select(['device_id', 'claim'])
        .where('daemon', '=', values.daemon)
        .where('ended', '=', false),
    ),
    // Of daemons that are gone, and of a daemon's own run before this one.
    endLeft: prepared((values: { ms: number }) =>
      db
        .updateTable('channels')
        .set({ ended: true, changed_at: serverNow })
        .where('ended', '=', false)
        .where(
          sql<boolean>`not exists (select 1 from daemons d where d.id = channels.daemon and d.seen_at > ${serverNow} - ${values.ms}::bigint)`,
        ),
    ),
    endOwn: prepared((values: { daemon: string }) =>
      db
        .updateTable('channels')
        .set({ ended: true, changed_at: serverNow })
        .where('daemon', '=', values.daemon)
        .where('ended', '=', false),
    ),
    forgetEnded: prepared((values: { ms: number }) =>
      db
        .deleteFrom('channels')
        .where('ended', '=', true)
        .where('changed_at', '<', sql<number>`${serverNow} - ${values.ms}::bigint`),
    ),
  };
}
