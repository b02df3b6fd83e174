// Rows of the audit, newest first.

import type { AuditEntry } from '@palyra/rpc/admin';
import { actionName, isAlarming } from '../kinds.ts';
import { formatClock, formatDay } from '../time.ts';

export function AuditList({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <ol class="audit">
      {entries.map((entry) => (
        <li key={String(entry.seq)} class={isAlarming(entry.action) ? 'alarming' : undefined}>
          <time dateTime={new Date(Number(entry.atMs)).toISOString()}>
            {formatDay(entry.atMs)} <b>{formatClock(entry.atMs)}</b>
          </time>
          <span class="what">
            <strong>{actionName(entry.action)}</strong>
            <small>{detailText(entry.detailJson)}</small>
          </span>
          <span class="mono subject" title={entry.hash}>
            {entry.subject}
          </span>
        </li>
      ))}
    </ol>
  );
}

function detailText(json: string): string {
  const detail = JSON.parse(json) as Record<string, unknown>;
  return Object.entries(detail)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name.replace(/([A-Z])/g, ' $1').toLowerCase()}: ${value}`)
    .join(' · ');
}
