// The state of a device, in one word and one colour.

import { type Device, DeviceRole, DeviceState } from '@palyra/rpc/admin';
import { isConnected, transportName } from '../kinds.ts';
import { now } from '../live.ts';
import { Tag } from './elements.tsx';

export function DeviceStatus({ device }: { device: Device }) {
  return (
    <>
      {device.role === DeviceRole.OPERATOR && <Tag tone="warn">OPERATOR</Tag>}
      <Connection device={device} />
      {device.recoveryAskedMs > 0n && <Tag tone="bad">Asks to recover</Tag>}
      {device.cloneSeenMs > 0n && device.state === DeviceState.ACTIVE && <Tag tone="bad">Possible copy</Tag>}
    </>
  );
}

function Connection({ device }: { device: Device }) {
  if (device.state === DeviceState.REVOKED) return <Tag tone="bad">Revoked</Tag>;
  if (device.state === DeviceState.QUARANTINED) return <Tag tone="bad">In quarantine</Tag>;
  if (isConnected(device)) {
    return <Tag tone="good">Connected · {transportName(device)}</Tag>;
  }
  if (device.state === DeviceState.APPROVED) return <Tag tone="calm">Waits for its first use</Tag>;
  const isExpired = device.certificateNotAfterMs > 0n && Number(device.certificateNotAfterMs) < now.value;
  return isExpired ? <Tag tone="warn">Expired</Tag> : <Tag tone="calm">Not connected</Tag>;
}
