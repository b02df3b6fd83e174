// The audit log as it grows, of everything or of one device, and whether its hash chain is intact.

import type { AuditEntry } from '@palyra/rpc/admin';
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { exportAudit } from '../audit-export.ts';
import { actionName } from '../kinds.ts';
import { generation, recentAudit } from '../live.ts';
import { AuditList } from '../parts/audit-list.tsx';
import { Empty, Problem, Tag } from '../parts/elements.tsx';
import { useTask } from '../parts/task.ts';

const pageSize = 100;
const families: readonly (readonly [family: string, name: string])[] = [
  ['', 'Everything'],
  ['code', 'Codes'],
  ['request', 'Requests'],
  ['certificate', 'Certificates'],
  ['device', 'Devices'],
  ['capability', 'Capabilities'],
  ['recovery', 'Recoveries'],
  ['operator', 'Passkeys'],
  ['authority', 'Authority'],
  ['root', 'Root rotation'],
  ['daemon', 'Daemon'],
];

/** @param id of the device whose rows are shown; undefined for all rows. */
export function Activity({ id }: { id: string | undefined }) {
  const [family, setFamily] = useState('');
  const [text, setText] = useState('');
  const [older, setOlder] = useState<readonly AuditEntry[]>([]);
  const [isAll, setIsAll] = useState(false);
  const [problem, setProblem] = useState('');
  const exporting = useTask();
  const wanted = useRef('');
  wanted.current = `${id}/${family}`;

  const load = useCallback(
    async (before: bigint) => {
      const filter = `${id}/${family}`;
      try {
        const { entries } = await admin.listAudit({ limit: pageSize, before, family, subject: id ?? '' });
        // An answer to an earlier filter is dropped.
        if (wanted.current !== filter) return;
        setOlder((known) => (before > 0n ? [...known, ...entries] : entries));
        setIsAll(entries.length < pageSize);
        setProblem('');
      } catch (error) {
        setProblem(problemText(error));
      }
    },
    [id, family],
  );
  useEffect(() => void load(0n), [load, generation.value]);

  const fits = useCallback(
    (entry: AuditEntry) => {
      const { action, subject, detailJson, deviceId, deviceName, byName } = entry;
      if (family !== '' && !action.startsWith(`${family}.`)) return false;
      if (id !== undefined && deviceId !== id && subject !== id) return false;
      const said = `${action} ${actionName(action)} ${subject} ${deviceName} ${byName} ${detailJson}`;
      return said.toLowerCase().includes(text.trim().toLowerCase());
    },
    [family, id, text],
  );
  const entries = useMemo(() => {
    const newestOld = older[0]?.seq ?? 0n;
    return [...recentAudit.value.filter(({ seq }) => seq > newestOld), ...older].filter(fits);
  }, [recentAudit.value, older, fits]);
  const name = id && (entries.find(({ deviceId }) => deviceId === id)?.deviceName ?? id);

  return (
    <>
      <header class="page">
        <h1>Activity</h1>
        <p>Every change, as it happens. Each row contains the hash of the row before.</p>
      </header>
      <Chain />
      {name && (
        <p class="filter-of">
          Only rows about{' '}
          <a href={`#/devices/${id}`}>
            <bdi>{name}</bdi>
          </a>
          , its certificates and its pairings. <a href="#/activity">Show all</a>
        </p>
      )}
      <div class="filters">
        <label>
          <span class="unseen">Show</span>
          <select value={family} onChange={(event) => setFamily(event.currentTarget.value)}>
            {families.map(([word, title]) => (
              <option key={word} value={word}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <label class="search">
          <span class="unseen">Filter by name, id, serial or reason</span>
          <input
            type="search"
            placeholder="Name, id, serial, reason"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
      </div>
      <Problem text={problem || exporting.problem} />
      {entries.length > 0 && (
        <section class="card" aria-label="Audit">
          <AuditList entries={entries} />
        </section>
      )}
      {entries.length === 0 && older.length > 0 && (
        <Empty title="Nothing matches">
          The filter looks at the {older.length} rows loaded so far{isAll ? '.' : '. Load older rows below.'}
        </Empty>
      )}
      {older.length > 0 && (
        <div class="actions">
          {!isAll && (
            <button type="button" onClick={() => void load(older.at(-1)!.seq)}>
              Load older
            </button>
          )}
          <button
            type="button"
            disabled={exporting.busy}
            onClick={() =>
              exporting.run(async () => {
                const isWhole = await exportAudit({ family, subject: id ?? '' }, fits);
                if (!isWhole)
                  throw new Error(
                    'The file has the newest 200,000 rows. Use palyra audit list --json for more.',
                  );
              })
            }
          >
            Export as JSON lines
          </button>
        </div>
      )}
    </>
  );
}

function Chain() {
  const [verdict, setVerdict] = useState<{ ok: boolean; text: string }>();
  const task = useTask();
  const verify = useCallback(
    () =>
      task.run(async () => {
        const { ok, rows, brokenAt, problem } = await admin.verifyAudit({});
        setVerdict(
          ok
            ? { ok, text: `${rows.toLocaleString()} rows, intact` }
            : { ok, text: `broken at row ${brokenAt}: ${problem}` },
        );
      }),
    [task.run],
  );
  useEffect(() => void verify(), [verify]);
  return (
    <div class="chain" role="status">
      <span>Chain</span>
      {verdict ? (
        <Tag tone={verdict.ok ? 'good' : 'bad'}>{verdict.text}</Tag>
      ) : (
        <span class="faint">checking</span>
      )}
      <button type="button" class="link" disabled={task.busy} onClick={verify}>
        Check again
      </button>
      <Problem text={task.problem} />
    </div>
  );
}
