// The daemons of a fleet, for people and for programs.

import { dueWorks } from '@palyra/rpc/admin';
import type { Admin } from './admin.ts';
import type { Cli } from './cli.ts';
import { printable } from './printable.ts';
import { table } from './table.ts';
import { formatSpan, isoTime } from './time.ts';

type Status = Pick<Awaited<ReturnType<Admin['getStatus']>>, 'daemons' | 'dueWork' | 'daemonTimeMs'>;
type Daemon = Status['daemons'][number];

export function fleetJson({ daemons, dueWork }: Status) {
  return {
    daemons: daemons.map((each) => ({
      id: each.id,
      version: each.version,
      endpoints: each.endpoints,
      started_at: isoTime(each.startedAtMs),
      seen_at: isoTime(each.seenAtMs),
      is_this: each.isThis,
      is_gone: each.isGone,
      devices: each.devices,
      connections: each.connections,
      database_ms: each.databaseMs,
    })),
    due_work: dueWork.map(({ what, daemon, atMs }) => ({
      what: dueWorks.show(what),
      daemon,
      at: isoTime(atMs),
    })),
  };
}

export function fleetTable(cli: Cli, status: Status): string {
  const rows = status.daemons.map((each) => [
    each.id,
    each.version,
    seen(each, status),
    String(each.devices),
    String(each.connections),
    `${each.databaseMs.toFixed(1)} ms`,
    status.dueWork
      .filter(({ daemon }) => daemon === each.id)
      .map(({ what }) => dueWorks.show(what))
      .join(', '),
    each.endpoints.join(' '),
  ]);
  const titles = [
    'DAEMON',
    'VERSION',
    'SEEN',
    'DEVICES',
    'CONNECTIONS',
    'DATABASE',
    'LAST TO DO',
    'ENDPOINTS',
  ];
  return table(
    titles,
    rows.map((row) => row.map(printable)),
    { columns: cli.output.columns, keep: ['DAEMON', 'SEEN'] },
  );
}

function seen(each: Daemon, { daemonTimeMs }: Status): string {
  if (each.isThis) return 'this daemon';
  const ago = `${formatSpan(Math.max(0, Number(daemonTimeMs - each.seenAtMs)))} ago`;
  return each.isGone ? `GONE, ${ago}` : ago;
}
