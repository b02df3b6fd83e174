// One device: what it is, what it holds, what happened to it, and the way out.

import {
  type AuditEntry,
  type Certificate,
  CertificateState,
  certificateStates,
  type Device,
  DeviceRole,
  DeviceState,
} from '@palyra/rpc/admin';
import { useCallback, useEffect, useState } from 'preact/hooks';
import { admin, problemText } from '../admin.ts';
import { useNoticed } from '../deliberate.ts';
import { useInPlace } from '../in-place.ts';
import { isConnected, kindName, operatorRights, transportName } from '../kinds.ts';
import { generation, now, onDevice } from '../live.ts';
import { AuditList } from '../parts/audit-list.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { DeviceStatus } from '../parts/device-status.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { LifeBar } from '../parts/life-bar.tsx';
import { Fact, Facts, Fingerprint, Problem, Tag, type Tone } from '../parts/pieces.tsx';
import { useTask } from '../parts/task.ts';
import { ago, formatDateTime } from '../time.ts';

interface Shown {
  readonly device: Device;
  readonly certificates: readonly Certificate[];
  readonly history: readonly AuditEntry[];
}

const historyCertificates = 6;

export function DevicePage({ id }: { id: string }) {
  const [shown, setShown] = useState<Shown>();
  const [problem, setProblem] = useState('');
  const [asking, setAsking] = useState<'rename' | 'role' | 'release' | 'revoke' | Certificate | undefined>();
  const load = useCallback(async () => {
    try {
      const { device, certificates } = await admin.getDevice({ id });
      setShown({ device: device!, certificates, history: await historyOf(id, certificates) });
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
              <div class="actions">
                {waits(shown.device) && (
                  <button type="button" class="primary" onClick={() => setAsking('release')}>
                    Release…
                  </button>
                )}
                <button type="button" onClick={() => setAsking('rename')}>
                  Rename…
                </button>
                <button type="button" onClick={() => setAsking('role')}>
                  {shown.device.role === DeviceRole.OPERATOR ? 'Take operator role…' : 'Make operator…'}
                </button>
                <button type="button" class="danger" onClick={() => setAsking('revoke')}>
                  Revoke…
                </button>
              </div>
            )}
          </header>
          <About {...shown} />
          <Certificates device={id} certificates={shown.certificates} onRevoke={setAsking} />
          <section class="card" aria-label="History">
            <h2>History</h2>
            <AuditList entries={shown.history} />
          </section>
          {asking === 'rename' && <Rename device={shown.device} onClose={close} />}
          {asking === 'release' && <Release device={shown.device} onClose={close} />}
          {asking === 'role' && <Role device={shown.device} onClose={close} />}
          {asking === 'revoke' && <Revoke {...shown} onClose={close} />}
          {typeof asking === 'object' && (
            <RevokeCertificate device={shown.device} certificate={asking} onClose={close} />
          )}
        </>
      )}
    </>
  );
}

/** The audit names certificates by serial and requests by their own id, so rows are asked for by those as well. */
async function historyOf(id: string, certificates: readonly Certificate[]): Promise<AuditEntry[]> {
  const serials = certificates.slice(0, historyCertificates).map(({ serial }) => serial);
  const own = await auditOf([id, ...serials]);
  const pairings = own.flatMap(({ detailJson }) => JSON.parse(detailJson).pairing ?? []);
  return [...own, ...(await auditOf([...new Set<string>(pairings)]))].sort((a, b) => Number(b.seq - a.seq));
}

async function auditOf(subjects: readonly string[]): Promise<AuditEntry[]> {
  const lists = await Promise.all(subjects.map((subject) => admin.listAudit({ subject, limit: 50 })));
  return lists.flatMap(({ entries }) => entries);
}

function About({ device }: Shown) {
  return (
    <section class="card" aria-label="About this device">
      <Facts>
        {device.revocationReason && (
          <Fact name="Revoked because" wide>
            <bdi>{device.revocationReason}</bdi>
          </Fact>
        )}
        {device.recoveryAskedMs > 0n && (
          <Fact name="Asks to recover" wide>
            It comes back without a certificate that holds ({ago(device.recoveryAskedMs, now.value)}), and
            only you can let it; the history says why. Release it when you know that it is yours.
          </Fact>
        )}
        {device.cloneSeenMs > 0n && (
          <Fact name="Possible copy" wide>
            A certificate that this device had replaced was used again, it recovered though its certificate
            held, or a second agent connected ({ago(device.cloneSeenMs, now.value)}). Either it was put back
            from a backup, or there is a copy of it; the history says what and from where. Release it when you
            are sure.
          </Fact>
        )}
        {device.role === DeviceRole.OPERATOR && (
          <Fact name="Role" wide>
            <strong class="warn-text">OPERATOR.</strong> {operatorRights[0]}
          </Fact>
        )}
        {device.hostNames.length > 0 && (
          <Fact name="Host names in its certificates" wide>
            <bdi>{device.hostNames.join(', ')}</bdi>
          </Fact>
        )}
        <Fact name="Paired">{formatDateTime(device.createdAtMs)}</Fact>
        <Fact name="Last seen">{isConnected(device) ? 'now' : ago(device.lastSeenMs, now.value)}</Fact>
        <Fact name="Device id" wide>
          <span class="mono">{device.id}</span>
        </Fact>
        <Fact name="Identity key, SHA-256" wide>
          <Fingerprint value={device.identityFingerprint} />
        </Fact>
        <Fact name="Can do" wide>
          {device.capabilities.length > 0 ? (
            <span class="chips">
              {device.capabilities.map((each) => (
                <span key={each} class="chip">
                  <bdi>{each}</bdi>
                </span>
              ))}
            </span>
          ) : (
            <span class="faint">No capabilities registered.</span>
          )}
        </Fact>
      </Facts>
    </section>
  );
}

const certificateTones: Readonly<Partial<Record<CertificateState, Tone>>> = {
  [CertificateState.ACTIVE]: 'good',
  [CertificateState.ISSUED]: 'calm',
  [CertificateState.REVOKED]: 'bad',
};

function Certificates({
  device,
  certificates,
  onRevoke,
}: {
  /** Its id. */
  device: string;
  certificates: readonly Certificate[];
  onRevoke: (certificate: Certificate) => void;
}) {
  const places = useInPlace(certificates, ({ serial }) => serial, device);
  return (
    <section class="card" aria-label="Certificates" {...places.pointer}>
      <h2>Certificates</h2>
      {certificates.length === 0 && <p class="faint">None yet: the device fetches it once it is approved.</p>}
      <ul class="certificates">
        {places.items.map((each) => (
          <li key={each.serial}>
            <span class="mono">{each.serial}</span>
            <Tag tone={certificateTones[each.state] ?? 'calm'}>{certificateStates.show(each.state)}</Tag>
            {each.state === CertificateState.ACTIVE || each.state === CertificateState.ISSUED ? (
              <>
                <LifeBar notBeforeMs={each.notBeforeMs} notAfterMs={each.notAfterMs} />
                <button
                  type="button"
                  aria-label={`Revoke certificate ${each.serial}`}
                  onClick={() => onRevoke(each)}
                >
                  Revoke…
                </button>
              </>
            ) : (
              <span class="faint">
                {formatDateTime(each.notBeforeMs)} to {formatDateTime(each.notAfterMs)}
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** For the operator's word. */
const waits = ({ state, cloneSeenMs, recoveryAskedMs }: Device): boolean =>
  state === DeviceState.QUARANTINED || cloneSeenMs > 0n || recoveryAskedMs > 0n;

function Release({ device, onClose }: { device: Device; onClose: () => void }) {
  return (
    <Confirm
      title={
        <>
          Release <bdi>{device.name}</bdi>?
        </>
      }
      consequences={[
        ...(device.state === DeviceState.QUARANTINED
          ? ['Its quarantine ends: its certificate is taken again.']
          : []),
        ...(device.cloneSeenMs > 0n ? ['The warning of a possible copy is taken off it.'] : []),
        ...(device.recoveryAskedMs > 0n
          ? ['The next one to ask with its identity key gets a new certificate: once, within a day.']
          : []),
        'If a copy of it is in other hands, revoke it instead.',
      ]}
      yes="Release"
      onYes={() => admin.releaseDevice({ id: device.id })}
      onClose={onClose}
    />
  );
}

function Role({ device, onClose }: { device: Device; onClose: () => void }) {
  const isOperator = device.role === DeviceRole.OPERATOR;
  const role = isOperator ? DeviceRole.DEVICE : DeviceRole.OPERATOR;
  return (
    <Confirm
      title={
        isOperator ? (
          <>
            Take the operator role from <bdi>{device.name}</bdi>?
          </>
        ) : (
          <>
            Make <bdi>{device.name}</bdi> an OPERATOR?
          </>
        )
      }
      consequences={
        isOperator
          ? [
              "What it is doing as an operator ends at once. It stays paired, and keeps its device's connection.",
            ]
          : operatorRights
      }
      tick={isOperator ? undefined : 'Whoever holds this device may decide for me.'}
      yes={isOperator ? 'Take the role' : 'Make it an OPERATOR'}
      onYes={() => admin.setDeviceRole({ id: device.id, role })}
      onClose={onClose}
    />
  );
}

function RevokeCertificate(props: { device: Device; certificate: Certificate; onClose: () => void }) {
  const { device, certificate, onClose } = props;
  const isUsed = certificate.state === CertificateState.ACTIVE && isConnected(device);
  return (
    <Confirm
      title="Revoke this one certificate?"
      consequences={[
        isUsed ? (
          <>
            The open {transportName(device)} connection of <bdi>{device.name}</bdi> uses it: it is closed at
            once, and what runs on it fails.
          </>
        ) : (
          'No agent is connected with it now. Anything else that uses it is closed at once.'
        ),
        'It is for ever, and on the next revocation list. The device stays paired: to come back it asks for another one, which you must release, or pairs again.',
      ]}
      reason={auditReason}
      yes="Revoke certificate"
      onYes={(reason) => admin.revokeCertificate({ serial: certificate.serial, reason })}
      onClose={onClose}
    >
      <p class="mono serial">{certificate.serial}</p>
    </Confirm>
  );
}

const auditReason = 'Reason, kept in the audit';

function Rename({ device, onClose }: { device: Device; onClose: () => void }) {
  const [name, setName] = useState(device.name);
  const isNoticed = useNoticed();
  const task = useTask();
  return (
    <Dialog title="Rename" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(async () => {
            await admin.renameDevice({ id: device.id, name });
            onClose();
          });
        }}
      >
        <label>
          Name
          <input
            value={name}
            maxLength={256}
            required
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <Problem text={task.problem} />
        <div class="actions">
          <button type="submit" class="primary" disabled={!isNoticed || task.busy}>
            Rename
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Revoke({ device, certificates, onClose }: Shown & { onClose: () => void }) {
  const valid = certificates.filter(
    ({ state, notAfterMs }) =>
      (state === CertificateState.ACTIVE || state === CertificateState.ISSUED) &&
      Number(notAfterMs) > now.value,
  ).length;
  return (
    <Confirm
      title={
        <>
          Revoke <bdi>{device.name}</bdi>?
        </>
      }
      consequences={[
        isConnected(device)
          ? `Its open ${transportName(device)} connection is closed at once, and what runs on it fails.`
          : 'It is not connected now; it is refused when it comes back.',
        `${valid === 1 ? 'Its valid certificate stops' : `Its ${valid} valid certificates stop`} working at once.`,
        'This is for ever. To come back it needs a new identity and your approval.',
      ]}
      reason={auditReason}
      yes="Revoke for ever"
      onYes={(reason) => admin.revokeDevice({ id: device.id, reason })}
      onClose={onClose}
    />
  );
}
