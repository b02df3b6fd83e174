// quic.keepalive_us: what the keep-alive of one idle QUIC connection costs the daemon, by the number of connections.

import { createClient } from '@connectrpc/connect';
import { NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { keepAliveMs } from '../packages/transport-quic/src/dialer.ts';
import { BenchDaemon } from './daemon-process.ts';
import { type Figures, median, type Progress, quartiles } from './measure.ts';

const few = 100;
const many = 900;
/** Below the limit of one device. */
const perDevice = 10;
const rounds = 5;
const roundMs = 2 * keepAliveMs;

export async function quicKeepAlive(progress: Progress): Promise<Figures> {
  progress(`idle QUIC connections: ${few} on one daemon, ${many} on another, none on a third`);
  const counts = [0, few, many];
  const daemons = await Promise.all(counts.map(connected));
  // Processor time does not depend on what else runs, so all are measured at the same time.
  const spent: number[][] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = await Promise.all(daemons.map((daemon) => daemon.ask('cpu')));
    await new Promise((resolve) => setTimeout(resolve, roundMs));
    const after = await Promise.all(daemons.map((daemon) => daemon.ask('cpu')));
    spent.push(after.map((cpu, at) => cpu - before[at]!));
  }
  for (const daemon of daemons) await daemon.stop();
  const sent = (count: number) => (count * roundMs) / keepAliveMs;
  const [ofFew, ofMany] = [1, 2].map((at) =>
    spent.map((cpu) => ((cpu[at]! - cpu[0]!) * 1000) / sent(counts[at]!)),
  );
  return {
    'quic.keepalive_us': {
      value: median(ofMany!),
      spread: quartiles(ofMany!),
      unit: 'us',
      meaning:
        `Processor time of the daemon for one keep-alive of a device with ${many} idle QUIC connections, each of which sends ` +
        `one every ${keepAliveMs / 1000} s. The library asks every connection of the listener for packets whenever one of ` +
        'them has received something.',
      parts: {
        [`with_${few}_connections_us`]: median(ofFew!),
        [`with_${many}_connections_us`]: median(ofMany!),
        [`core_share_with_${few}`]: (median(ofFew!) * few) / (keepAliveMs * 1000),
        [`core_share_with_${many}`]: (median(ofMany!) * many) / (keepAliveMs * 1000),
      },
    },
  };
}

/** A daemon with this many idle connections, which end with it. */
async function connected(count: number): Promise<BenchDaemon> {
  const daemon = await BenchDaemon.start(Math.max(1, count / perDevice));
  const quic = createQuic();
  for (const { enrollment } of count > 0 ? daemon.ready.devices : []) {
    const connections = Array.from({ length: perDevice }, () => dialNodeQuic(quic, enrollment));
    for (const { transport } of await Promise.all(connections))
      await createClient(NodeService, transport).status({});
  }
  return daemon;
}
