// One device: its details, certificates and history, and the actions on it.

import { type AuditEntry, type Certificate, type Device, DeviceRole, DeviceState } from '@palyra/rpc/admin';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { kindName } from '../kinds.ts';
import { generation, onDevice } from '../live.ts';
import { AuditList } from '../parts/audit-list.tsx';
import { DeviceStatus } from '../parts/device-status.tsx';
import { Problem } from '../parts/elements.tsx';
import { About, PossibleCopy } from './device-about.tsx';
import { Labels, Release, Rename, Revoke, RevokeCertificate, Role, waits } from './device-actions.tsx';
import { Certificates } from './device-certificates.tsx';
import { RunCapability } from './device-run.tsx';

interface Shown {
  readonly device: Device;
  readonly certificates: readonly Certificate[];
  readonly history: readonly AuditEntry[];
}

type Asking = 'rename' | 'labels' | 'role' | 'release' | 'revoke' | Certificate;

/** Rows of the history on this page; the page Activity has the rest. */
const historyRows = 100;

export function DevicePage({ id }: { id: string }) {
  const [shown, setShown] = useState<Shown>();
  const [problem, setProblem] = useState('');
  const [asking, setAsking] = useState<Asking>();
  const load = useCallback(async () => {
    try {
      const [{ device, certificates }, { entries }] = await Promise.all([
        admin.getDevice({ id }),
        admin.listAudit({ subject: id, limit: historyRows }),
      ]);
      setShown({ device: device!, certificates, history: entries });
      setProblem('');
    } catch (error) {
      setProblem(problemText(error));
    }
  }, [id]);
  useEffect(() => void load(), [load, generation.value]);
  useEffect(() => onDevice((device) => device.id === id && void load()), [id, load]);
  const close = () => setAsking(undefined);

  return (
    <>
      <p class="crumb">
        <a href="#/devices">Devices</a>
      </p>
      <Problem text={problem} />
      {shown && (
        <>
          <header class="page with-actions">
            <div>
              <h1>
                <bdi>{shown.device.name}</bdi>
              </h1>
              <p>
                {kindName(shown.device.kind)} · <bdi>{shown.device.platform}</bdi>{' '}
                <DeviceStatus device={shown.device} />
              </p>
            </div>
            {shown.device.state !== DeviceState.REVOKED && (
              <Actions device={shown.device} onAsk={setAsking} />
            )}
          </header>
          {shown.device.cloneSeenMs > 0n && <PossibleCopy device={shown.device} />}
          <About device={shown.device} />
          {shown.device.state !== DeviceState.REVOKED && <RunCapability device={shown.device} />}
          <Certificates device={id} certificates={shown.certificates} onRevoke={setAsking} />
          <section class="card" aria-label="History">
            <h2>History</h2>
            <AuditList entries={shown.history} />
            <p class="more">
              <a href={`#/activity/${id}`}>
                {shown.history.length < historyRows ? 'Filter and export' : 'Older rows, filter and export'}
              </a>
            </p>
          </section>
          {asking === 'rename' && <Rename device={shown.device} onClose={close} />}
          {asking === 'labels' && <Labels device={shown.device} onClose={close} />}
          {asking === 'release' && <Release device={shown.device} onClose={close} />}
          {asking === 'role' && <Role device={shown.device} onClose={close} />}
          {asking === 'revoke' && (
            <Revoke device={shown.device} certificates={shown.certificates} onClose={close} />
          )}
          {typeof asking === 'object' && (
            <RevokeCertificate device={shown.device} certificate={asking} onClose={close} />
          )}
        </>
      )}
    </>
  );
}

/** For a possible copy, the revocation is the first and the strongest one. */
function Actions({ device, onAsk }: { device: Device; onAsk: (what: Asking) => void }) {
  const isCopy = device.cloneSeenMs > 0n;
  const revoke = (
    <button
      key="revoke"
      type="button"
      class={isCopy ? 'danger strong' : 'danger'}
      onClick={() => onAsk('revoke')}
    >
      Revoke…
    </button>
  );
  const release = waits(device) && (
    <button
      key="release"
      type="button"
      class={isCopy ? undefined : 'primary'}
      onClick={() => onAsk('release')}
    >
      Release…
    </button>
  );
  return (
    <div class="actions">
      {isCopy ? [revoke, release] : release}
      <button type="button" onClick={() => onAsk('rename')}>
        Rename…
      </button>
      <button type="button" onClick={() => onAsk('labels')}>
        Labels…
      </button>
      <button type="button" onClick={() => onAsk('role')}>
        {device.role === DeviceRole.OPERATOR ? 'Remove operator role…' : 'Make operator…'}
      </button>
      {!isCopy && revoke}
    </div>
  );
}
