// Rows of the audit log, newest first.

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
            <small>
              <Detail json={entry.detailJson} />
            </small>
          </span>
          <span class="mono subject" title={entry.hash}>
            {entry.subject}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** The actor: a device, or somebody on the daemon's machine. */
const isDevice = (name: string, value: unknown): boolean =>
  name === 'by' && /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(String(value));

function Detail({ json }: { json: string }) {
  const facts = Object.entries(JSON.parse(json) as Record<string, unknown>).filter(
    ([, value]) => value !== '',
  );
  return (
    <>
      {facts.map(([name, value]) => (
        <span key={name}>
          {name.replace(/([A-Z])/g, ' $1').toLowerCase()}:{' '}
          {name === 'device' || isDevice(name, value) ? (
            <a href={`#/devices/${value}`}>{String(value)}</a>
          ) : (
            <bdi>{String(value)}</bdi>
          )}
        </span>
      ))}
    </>
  );
}
