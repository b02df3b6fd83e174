// How a device is, in one word and one colour.

import type { Device } from '@palyra/rpc/admin';
import { transportName } from '../kinds.ts';
import { now } from '../live.ts';
import { Tag } from './pieces.tsx';

export function DeviceStatus({ device }: { device: Device }) {
  return (
    <>
      {device.role === 'operator' && <Tag tone="warn">OPERATOR</Tag>}
      <Connection device={device} />
      {device.recoveryAskedMs > 0n && <Tag tone="bad">Asks to recover</Tag>}
      {device.cloneSeenMs > 0n && device.state === 'active' && <Tag tone="bad">Possible copy</Tag>}
    </>
  );
}

function Connection({ device }: { device: Device }) {
  if (device.state === 'revoked') return <Tag tone="bad">Revoked</Tag>;
  if (device.state === 'quarantined') return <Tag tone="bad">In quarantine</Tag>;
  if (device.transport) {
    return <Tag tone="good">Connected · {transportName(device.transport)}</Tag>;
  }
  if (device.state === 'approved') return <Tag tone="calm">Waits for its first use</Tag>;
  const isExpired = device.certificateNotAfterMs > 0n && Number(device.certificateNotAfterMs) < now.value;
  return isExpired ? <Tag tone="warn">Expired</Tag> : <Tag tone="calm">Not connected</Tag>;
}
