// The only query that is composed at run time: the devices that match a filter, in an order.

import type { DeviceOrder, DevicesQuery } from '@palyra/identity/registry';
import { type CompiledQuery, type ExpressionBuilder, type Kysely, type RawBuilder, sql } from 'kysely';
import { columns } from './columns.ts';
import { milliseconds, type Row } from './rows/column.ts';
import { foldName } from './rows/device.ts';
import type { Tables } from './tables.ts';

/** Later than the end of every certificate. */
const never = Number.MAX_SAFE_INTEGER;

export function selectDevices(db: Kysely<Tables>, query: DevicesQuery): CompiledQuery<Row> {
  const { search, states, kinds, labels = [], endsBy, revokedSince, after, afterKey, order = 'id' } = query;
  let select = db.selectFrom('devices').select(columns.devices).limit(query.limit);
  if (search !== undefined) {
    select = select.where((or) =>
      or.or([
        like('name_folded', `%${escaped(foldName(search))}%`),
        like('id', `${escaped(search.toUpperCase())}%`),
      ]),
    );
  }
  if (states) select = select.where('state', 'in', states);
  if (kinds) select = select.where('kind', 'in', kinds);
  // A label has no character that JSON escapes.
  for (const label of labels) select = select.where(like('labels', `%"${escaped(label)}"%`));
  if (endsBy) select = select.where((of) => presentEnd(of), '<=', milliseconds(endsBy));
  if (revokedSince) {
    select = select.where((of) =>
      of.or([
        of('state', '!=', 'revoked'),
        of.exists(
          of
            .selectFrom('revocations')
            .select('at')
            .whereRef('device_id', '=', 'devices.id')
            .where('serial', 'is', null)
            .where('at', '>', milliseconds(revokedSince)),
        ),
      ]),
    );
  }
  if (order === 'id') {
    if (after !== undefined) select = select.where('id', '>', after);
    return select.orderBy('id').compile();
  }
  const key = keys[order];
  if (after !== undefined && afterKey !== undefined) {
    const from = order === 'name' ? foldName(String(afterKey)) : afterKey;
    select =
      order === 'seen'
        ? select.where((of) =>
            of.or([of(key(of), '<', from), of.and([of(key(of), '=', from), of('id', '>', after)])]),
          )
        : select.where((of) => sql<boolean>`(${key(of)}, id) > (${from}, ${after})`);
  }
  return select
    .orderBy((of) => key(of), order === 'seen' ? 'desc' : 'asc')
    .orderBy('id')
    .compile();
}

type Devices = ExpressionBuilder<Tables, 'devices'>;

const keys: Readonly<Record<Exclude<DeviceOrder, 'id'>, (of: Devices) => RawBuilder<string | number>>> = {
  name: () => sql<string>`name_folded`,
  seen: () => sql<number>`coalesce(last_seen_at, 0)`,
  expiry: (of) => sql<number>`coalesce(${presentEnd(of)}, ${sql.lit(never)})`,
};

/** The end of the certificate in use, or of the newest unused one. */
function presentEnd(of: Devices) {
  return of
    .selectFrom('certificates as c')
    .select('c.not_after')
    .whereRef('c.subject_id', '=', 'devices.id')
    .where('c.subject_kind', '=', sql.lit('device'))
    .where('c.state', 'in', [sql.lit('issued'), sql.lit('active')])
    .orderBy(sql`case when c.state = 'active' then 0 else 1 end`)
    .orderBy('c.created_at', 'desc')
    .orderBy('c.serial', 'desc')
    .limit(1);
}

function like(column: string, pattern: string) {
  return sql<boolean>`${sql.ref(column)} like ${pattern} escape '\\'`;
}

function escaped(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
