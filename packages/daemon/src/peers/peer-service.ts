// palyra.peer.v1, the service for the other daemons of the fleet. It works on the channels of this daemon, and asks nobody else.

import type { ConnectRouter } from '@connectrpc/connect';
import { IdentityError } from '@palyra/identity';
import { parseDeviceName } from '@palyra/identity/pairing';
import type { Actor } from '@palyra/identity/registry';
import { parseDeviceId } from '@palyra/identity/values';
import { PeerService } from '@palyra/rpc/transport';
import type { DeviceChannels } from '../channels/device-channels.ts';

export function peerRoutes(channels: Pick<DeviceChannels, 'executeHere' | 'yield'>) {
  return (router: ConnectRouter): void => {
    router.service(PeerService, {
      execute: ({ deviceId, capability, input, timeoutMs, byDevice, bySerial }, context) =>
        channels.executeHere({
          by: actor(byDevice, bySerial),
          deviceId: parseDeviceId(deviceId),
          capability: parseDeviceName(capability, 'A capability'),
          input,
          timeoutMs,
          signal: context.signal,
        }),
      async yieldChannel({ deviceId, agentId }) {
        if (agentId.length !== 16) throw new IdentityError('MESSAGE_INVALID', 'An agent id has 16 bytes.');
        const isYielded = await channels.yield(parseDeviceId(deviceId), Buffer.from(agentId).toString('hex'));
        return { isHeld: !isYielded };
      },
    });
  };
}

function actor(byDevice: string, serial: string): Actor {
  if (byDevice === '') return { kind: 'local', at: 'admin socket' };
  return { kind: 'device', deviceId: parseDeviceId(byDevice), serial };
}
