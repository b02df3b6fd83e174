// One start of a real daemon on a home, in a separate process: reports when it is ready, and its memory.

import { startDaemon } from '@palyra/daemon';

const host = '127.0.0.1';
const daemon = await startDaemon({
  home: process.argv[2] ?? '',
  config: {
    pairing: { host, port: 0 },
    node: { host, port: 0 },
    quic: { host },
    console: { port: 0 },
  },
});
process.send?.({ rssBytes: process.memoryUsage.rss() });
process.once('disconnect', () => daemon.close());
