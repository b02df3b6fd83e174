// The revocation of several devices: one question, which names each of them and takes their number.

import type { Device } from '@palyra/rpc/admin';
import { useState } from 'preact/hooks';
import { admin } from '../admin.ts';
import { isConnected } from '../kinds.ts';
import { Confirm } from '../parts/confirm.tsx';

export function RevokeMany(props: { devices: readonly Device[]; onDone: () => void; onClose: () => void }) {
  // Fixed when the question is asked, whatever the list does meanwhile.
  const [devices] = useState(props.devices);
  const connected = devices.filter(isConnected).length;
  return (
    <Confirm
      title={`Revoke ${devices.length} devices?`}
      consequences={[
        connected === 0
          ? 'None of them is connected now. They are refused when they connect again.'
          : `${connected} of them ${connected === 1 ? 'is' : 'are'} connected: the connections are closed at once.`,
        'The revocation is permanent. To come back, each device needs a new identity and your approval.',
        'All of them are revoked, or none.',
      ]}
      typed={{ label: `How many devices do you revoke?`, text: String(devices.length) }}
      reason="Reason, kept in the audit log"
      yes={`Revoke ${devices.length} permanently`}
      onYes={async (reason) => {
        await admin.revokeDevices({ ids: devices.map(({ id }) => id), reason });
        props.onDone();
      }}
      onClose={props.onClose}
    >
      <ul class="named">
        {devices.map(({ id, name }) => (
          <li key={id}>
            <bdi>{name}</bdi> <small class="mono">{id}</small>
          </li>
        ))}
      </ul>
    </Confirm>
  );
}
