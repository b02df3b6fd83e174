// One device: its details, certificates and history, and the actions on it.

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
import { Fact, Facts, Fingerprint, Problem, Tag, type Tone } from '../parts/elements.tsx';
import { LifeBar } from '../parts/life-bar.tsx';
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
                  {shown.device.role === DeviceRole.OPERATOR ? 'Remove operator role…' : 'Make operator…'}
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

/** The audit log names certificates by serial and requests by id, so the history also asks for rows by those. */
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
            It asked for a certificate without having a valid one ({ago(device.recoveryAskedMs, now.value)}).
            Only you can allow that; the history says why. Release it if you know that it is yours.
          </Fact>
        )}
        {device.cloneSeenMs > 0n && (
          <Fact name="Possible copy" wide>
            A replaced certificate of this device was used again, the device recovered while its certificate
            was valid, or a second agent connected ({ago(device.cloneSeenMs, now.value)}). Either the device
            was restored from a backup, or there is a copy of it. The history says what happened, and from
            which address. Release it if you are sure that there is no copy.
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
        {device.origin && (
          <Fact name="Connected from the origin" wide>
            <bdi class="mono">{device.origin}</bdi>
          </Fact>
        )}
        <Fact name="Device id" wide>
          <span class="mono">{device.id}</span>
        </Fact>
        <Fact name="Identity key, SHA-256" wide>
          <Fingerprint value={device.identityFingerprint} />
        </Fact>
        <Fact name="Capabilities" wide>
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
  /** The id of the device. */
  device: string;
  certificates: readonly Certificate[];
  onRevoke: (certificate: Certificate) => void;
}) {
  const places = useInPlace(certificates, ({ serial }) => serial, device);
  return (
    <section class="card" aria-label="Certificates" {...places.pointer}>
      <h2>Certificates</h2>
      {certificates.length === 0 && (
        <p class="faint">None yet. An approved device fetches its certificate.</p>
      )}
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

/** Whether the device waits for a decision of the operator. */
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
          ? ['Its quarantine ends, and its certificate is accepted again.']
          : []),
        ...(device.cloneSeenMs > 0n ? ['The warning about a possible copy is removed.'] : []),
        ...(device.recoveryAskedMs > 0n
          ? ['The next recovery with its identity key gets a new certificate: once, within a day.']
          : []),
        'If somebody else has a copy of the device, revoke it instead.',
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
            Remove the operator role from <bdi>{device.name}</bdi>?
          </>
        ) : (
          <>
            Make <bdi>{device.name}</bdi> an OPERATOR?
          </>
        )
      }
      consequences={
        isOperator
          ? ['Its operator calls end at once. It stays paired, and its connection as a device stays open.']
          : operatorRights
      }
      tick={isOperator ? undefined : 'Anybody who has this device may decide for me.'}
      yes={isOperator ? 'Remove the role' : 'Make it an OPERATOR'}
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
      title="Revoke only this certificate?"
      consequences={[
        isUsed ? (
          <>
            The open {transportName(device)} connection of <bdi>{device.name}</bdi> uses it: it is closed at
            once, and the calls on it fail.
          </>
        ) : (
          'No agent is connected with this certificate. Any other connection that uses it is closed at once.'
        ),
        'The revocation is permanent, and appears on the next revocation list. The device stays paired. To come back, it pairs again, or asks to recover and waits for your release.',
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

const auditReason = 'Reason, kept in the audit log';

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
          ? `Its open ${transportName(device)} connection is closed at once, and the calls on it fail.`
          : 'It is not connected now. It is refused when it connects again.',
        `${valid === 1 ? 'Its valid certificate stops' : `Its ${valid} valid certificates stop`} working at once.`,
        'The revocation is permanent. To come back, the device needs a new identity and your approval.',
      ]}
      reason={auditReason}
      yes="Revoke permanently"
      onYes={(reason) => admin.revokeDevice({ id: device.id, reason })}
      onClose={onClose}
    />
  );
}
