// The audit log as it grows, and whether its hash chain is intact.

import type { AuditEntry } from '@palyra/rpc/admin';
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { generation, recentAudit } from '../live.ts';
import { AuditList } from '../parts/audit-list.tsx';
import { Empty, Problem, Tag } from '../parts/elements.tsx';
import { useTask } from '../parts/task.ts';

const pageSize = 100;
const families: readonly (readonly [prefix: string, name: string])[] = [
  ['', 'Everything'],
  ['code.', 'Codes'],
  ['request.', 'Requests'],
  ['certificate.', 'Certificates'],
  ['device.', 'Devices'],
  ['authority.', 'Authority'],
  ['root.', 'Root rotation'],
  ['daemon.', 'Daemon'],
];

export function Activity() {
  const [family, setFamily] = useState('');
  const [text, setText] = useState('');
  const [older, setOlder] = useState<readonly AuditEntry[]>([]);
  const [isAll, setIsAll] = useState(false);
  const [problem, setProblem] = useState('');

  const load = useCallback(async (before: bigint) => {
    try {
      const { entries } = await admin.listAudit({ limit: pageSize, before });
      setOlder((known) => (before > 0n ? [...known, ...entries] : entries));
      setIsAll(entries.length < pageSize);
      setProblem('');
    } catch (error) {
      setProblem(problemText(error));
    }
  }, []);
  useEffect(() => void load(0n), [load, generation.value]);

  const entries = useMemo(() => {
    const newestOld = older[0]?.seq ?? 0n;
    const all = [...recentAudit.value.filter(({ seq }) => seq > newestOld), ...older];
    const wanted = text.trim().toLowerCase();
    return all.filter(
      ({ action, subject, detailJson }) =>
        action.startsWith(family) &&
        (wanted === '' || `${action} ${subject} ${detailJson}`.toLowerCase().includes(wanted)),
    );
  }, [recentAudit.value, older, family, text]);

  return (
    <>
      <header class="page">
        <h1>Activity</h1>
        <p>Every change, as it happens. Each row contains the hash of the row before.</p>
      </header>
      <Chain />
      <div class="filters">
        <label>
          <span class="unseen">Show</span>
          <select value={family} onChange={(event) => setFamily(event.currentTarget.value)}>
            {families.map(([prefix, name]) => (
              <option key={prefix} value={prefix}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label class="search">
          <span class="unseen">Filter by id, serial, reason or name</span>
          <input
            type="search"
            placeholder="Id, serial, reason, name"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
      </div>
      <Problem text={problem} />
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
      {!isAll && older.length > 0 && (
        <div class="actions">
          <button type="button" onClick={() => void load(older.at(-1)!.seq)}>
            Load older
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
