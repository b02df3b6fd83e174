// The stream contract over channels on WebSockets.

import { formatEndpoint } from '@palyra/identity/values';
import type { StreamDialOptions, StreamTransport } from '@palyra/rpc/transport';
import { derOf, judgeDaemon, ownProof } from './certificates.ts';
import { dialChannel } from './dial.ts';
import { listen } from './listen.ts';
import { defaultPath } from './upgrade.ts';

export function createWebSocketTransport(): StreamTransport {
  return { listen, dial };
}

async function dial({ host, port, tls, ...options }: StreamDialOptions) {
  return dialChannel({
    ...options,
    url: new URL(`ws://${formatEndpoint({ host, port })}${defaultPath}`),
    purpose: 'node',
    proof: ownProof(tls),
    judge: judgeDaemon({ roots: derOf(tls.pinnedRoot), trustDomain: tls.trustDomain }),
  });
}
