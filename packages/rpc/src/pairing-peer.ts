// The device's four pairing calls, over the network.

import { createClient } from '@connectrpc/connect';
import type { AwaitUpdate, PairingPeer } from '@palyra/identity';
import { PairingService } from './gen/palyra/pairing/v1/pairing_pb.js';
import type { Http2Connection } from './http2-dialer.ts';

export function pairingPeer(connection: Http2Connection): PairingPeer {
  const client = createClient(PairingService, connection.transport);
  return {
    channelBinding: connection.channelBinding,
    async open({ version, slot, kind }) {
      const reply = await client.open({ version, slot, clientKind: kind });
      return { ...reply, expiresAt: new Date(Number(reply.expiresAtMs)) };
    },
    exchange: (request) => client.exchange(request),
    confirm: (request) => client.confirm(request),
    async *await(request, signal) {
      for await (const update of client.await(request, { signal })) {
        yield {
          state: update.state as AwaitUpdate['state'],
          expiresAt: update.expiresAtMs > 0n ? new Date(Number(update.expiresAtMs)) : undefined,
          reason: update.reason || undefined,
          certificateChain: update.certificateChain,
          trustBundle: update.trustBundle,
        };
      }
    },
  };
}
