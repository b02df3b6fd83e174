// A node listener in a separate process that reports its memory: for each line on stdin, it prints its resident bytes
// after a garbage collection. Argument: JSON with its keys and certificates in PEM and DER.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { IdentityError } from '@palyra/identity';
import { ChainJudge, TlsKey } from '@palyra/identity/certificate';
import { Http2Listener } from '@palyra/rpc/transport';

export interface ChainListenerInput {
  /** DER in base64. */
  readonly root: string;
  readonly issuing: string;
  readonly leaf: string;
  readonly key: string;
}

const input = JSON.parse(process.argv[2]!) as ChainListenerInput;
const [root, issuing, leaf, key] = [input.root, input.issuing, input.leaf, input.key].map((text) =>
  Buffer.from(text, 'base64'),
);
const counts: Record<string, number> = {};
const refuse = async () => {
  throw new IdentityError('CERTIFICATE_EXPIRED', 'Every certificate is refused here.');
};
const listener = await Http2Listener.listen({
  host: '127.0.0.1',
  port: 0,
  credential: {
    key: TlsKey.fromPkcs8(key!),
    certificateChain: [leaf!, issuing!],
    notBefore: new Date(0),
    notAfter: new Date(8e12),
  },
  devices: {
    trustBundle: [root!],
    authenticator: {
      admit: refuse,
      authenticate: refuse,
      revocationEpoch: 0,
      upToDate: () => undefined,
      chainJudge: new ChainJudge([root!], [issuing!]),
    },
  },
  routes: () => {},
  clock: { now: () => new Date() },
  limits: { strangersPerSource: 10_000 },
  onEvent: (event) => {
    counts[event] = (counts[event] ?? 0) + 1;
  },
  onInternal: (error) => {
    throw error;
  },
});
console.log(JSON.stringify({ port: listener.port }));
for await (const _ of createInterface({ input: process.stdin })) {
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc!();
    await sleep(50);
  }
  console.log(JSON.stringify({ bytes: process.memoryUsage.rss(), sessions: listener.connections, counts }));
}
process.exit();
