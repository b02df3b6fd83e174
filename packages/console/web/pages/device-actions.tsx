// The actions on a device, each with its question.

import { type Certificate, CertificateState, type Device, DeviceRole, DeviceState } from '@palyra/rpc/admin';
import { useState } from 'preact/hooks';
import { admin } from '../admin.ts';
import { useNoticed } from '../deliberate.ts';
import { isConnected, operatorRights, transportName } from '../kinds.ts';
import { now } from '../live.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Problem } from '../parts/elements.tsx';
import { useTask } from '../parts/task.ts';

/** Whether the device waits for a decision of the operator. */
export const waits = ({ state, cloneSeenMs, recoveryAskedMs }: Device): boolean =>
  state === DeviceState.QUARANTINED || cloneSeenMs > 0n || recoveryAskedMs > 0n;

export function Release({ device, onClose }: { device: Device; onClose: () => void }) {
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

export function Role({ device, onClose }: { device: Device; onClose: () => void }) {
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

export function RevokeCertificate(props: { device: Device; certificate: Certificate; onClose: () => void }) {
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

export function Rename({ device, onClose }: { device: Device; onClose: () => void }) {
  return (
    <OneField
      title="Rename"
      label="Name"
      value={device.name}
      maxLength={256}
      required
      yes="Rename"
      onYes={(name) => admin.renameDevice({ id: device.id, name })}
      onClose={onClose}
    />
  );
}

export function Labels({ device, onClose }: { device: Device; onClose: () => void }) {
  return (
    <OneField
      title="Labels"
      label="Words, with spaces between them: kitchen site=berlin"
      value={device.labels.join(' ')}
      maxLength={4096}
      yes="Save"
      onYes={(text) =>
        admin.setLabels({ id: device.id, labels: text.split(/[\s,]+/).filter((label) => label !== '') })
      }
      onClose={onClose}
    />
  );
}

function OneField(props: {
  title: string;
  label: string;
  value: string;
  maxLength: number;
  required?: boolean;
  yes: string;
  onYes: (value: string) => Promise<unknown>;
  onClose: () => void;
}) {
  const [value, setValue] = useState(props.value);
  const isNoticed = useNoticed();
  const task = useTask();
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(async () => {
            await props.onYes(value);
            props.onClose();
          });
        }}
      >
        <label>
          {props.label}
          <input
            value={value}
            maxLength={props.maxLength}
            required={props.required ?? false}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        </label>
        <Problem text={task.problem} />
        <div class="actions">
          <button type="submit" class="primary" disabled={!isNoticed || task.busy}>
            {props.yes}
          </button>
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function Revoke(props: { device: Device; certificates: readonly Certificate[]; onClose: () => void }) {
  const { device, certificates, onClose } = props;
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
