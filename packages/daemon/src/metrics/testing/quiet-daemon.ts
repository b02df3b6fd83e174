// The numbers of a daemon in which nothing has happened.

import { join } from 'node:path';
import type { LiveNumbers } from '../metrics.ts';

const seconds = (count: number) => new Date(count * 1000);

export const quietDaemon: LiveNumbers = {
  version: '1.2.3',
  connections: () => ({ node: 1 }),
  rateLimited: () => 2,
  quicTraffic: () => ({ datagrams: 3, handshakes: 1 }),
  authority: {
    authorities: async () => [
      { tier: 'root', state: 'active', notAfter: seconds(2_000_000_000) },
      { tier: 'root', state: 'retired', notAfter: seconds(1_000_000_000) },
      { tier: 'issuing', state: 'trusted', notAfter: seconds(1_500_000_000) },
      { tier: 'issuing', state: 'active', notAfter: seconds(1_900_000_000) },
    ],
    daemonCertificateEnd: () => seconds(1_800_000_000),
    keyProblem: async () => undefined,
    token: undefined,
  },
  fleet: {
    counts: async () => ({ devices: 1, pendingRequests: 0, waitingCodes: 0 }),
    deviceStates: async () => new Map([['active', 1]]),
    changes: () => 0,
  },
  store: {
    folder: import.meta.dirname,
    file: join(import.meta.dirname, 'there is no such file'),
    auditHead: async () => ({ seq: 5, hash: '' }),
    audit: { last: undefined },
  },
  shared: undefined,
  backups: undefined,
};
