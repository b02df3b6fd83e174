// Rows of the audit log, newest first, with names in place of ids.

import { type AuditEntry, auditGuesses } from '@palyra/rpc/admin';
import { actionName, isAlarming } from '../kinds.ts';
import { settledGuesses } from '../live.ts';
import { formatClock, formatDateTime, formatDay } from '../time.ts';
import { Tag, type Tone } from './elements.tsx';

export function AuditList({ entries }: { entries: readonly AuditEntry[] }) {
  return (
    <ol class="audit">
      {entries.map((entry) => (
        <li key={String(entry.seq)} class={isAlarming(entry.action) ? 'alarming' : undefined}>
          <time dateTime={new Date(Number(entry.atMs)).toISOString()}>
            {formatDay(entry.atMs)} <b>{formatClock(entry.atMs)}</b>
          </time>
          <span class="what">
            <strong>
              {actionName(entry.action)} <Guess entry={entry} />
            </strong>
            <small>
              <Detail entry={entry} />
            </small>
          </span>
          <Subject entry={entry} />
        </li>
      ))}
    </ol>
  );
}

const guesses: Readonly<Record<string, readonly [tone: Tone, text: string]>> = {
  right: ['good', 'right'],
  wrong: ['bad', 'wrong'],
  open: ['calm', 'still open'],
};

/** Whether the guess at a code was right. */
function Guess({ entry }: { entry: AuditEntry }) {
  const guess = auditGuesses.fromWire(settledGuesses.value.get(entry.seq) ?? entry.guess);
  if (!guess) return null;
  const [tone, text] = guesses[guess]!;
  return <Tag tone={tone}>{text}</Tag>;
}

/** The device that the row is about. Its id, or the serial of a certificate, is in the title. */
function Subject({ entry }: { entry: AuditEntry }) {
  const { deviceId, deviceName, subject, hash } = entry;
  const about = `${subject}\nhash ${hash}`;
  return (
    <span class="subject" title={about}>
      {deviceId ? (
        <a href={`#/devices/${deviceId}`}>
          <bdi>{deviceName}</bdi>
        </a>
      ) : (
        <bdi>{deviceName}</bdi>
      )}
      {subject !== deviceId && <small class="mono">{subject}</small>}
    </span>
  );
}

/** The actor, when it is a device: `device:` and its id. */
const actorDevice = (value: unknown): string | undefined =>
  /^device:([0-7][0-9A-HJKMNP-TV-Z]{25})$/.exec(String(value))?.[1];

function Detail({ entry }: { entry: AuditEntry }) {
  const facts = Object.entries(JSON.parse(entry.detailJson) as Record<string, unknown>).filter(
    // The device stands beside the row.
    ([name, value]) => value !== '' && !(name === 'device' && value === entry.deviceId),
  );
  return (
    <>
      {facts.map(([name, value]) => {
        const actor = name === 'by' ? actorDevice(value) : undefined;
        const device = actor ?? (name === 'device' ? String(value) : undefined);
        return (
          <span key={name}>
            {wordsOf(name)}:{' '}
            {device ? (
              <a href={`#/devices/${device}`}>
                <bdi>{(actor && entry.byName) || device}</bdi>
              </a>
            ) : (
              <bdi>{shownValue(name, value)}</bdi>
            )}
          </span>
        );
      })}
    </>
  );
}

/** `expires at` for `expires_at` and for `expiresAt`. */
const wordsOf = (name: string): string => name.replace(/_|(?=[A-Z])/g, ' ').toLowerCase();

/** Instants are numbers of milliseconds. */
function shownValue(name: string, value: unknown): string {
  const isTime = typeof value === 'number' && /(?:_at|_before|_after)$/.test(name);
  return isTime ? formatDateTime(BigInt(value)) : String(value);
}
