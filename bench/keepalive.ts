// quic.keepalive_us: what one keep-alive costs the daemon, by the number of QUIC connections that are open.

import { createQuic } from '@palyra/transport-quic';
import { BenchDaemon } from './daemon-process.ts';
import type { PairedDevice } from './daemon-server.ts';
import { type Figures, median, type Progress, quartiles } from './measure.ts';
import { portOf, streamCall, tlsOf } from './transports.ts';

const few = 100;
const many = 900;
/** Below the limit of one device. */
const perDevice = 10;
const rounds = 7;
const roundMs = 10_000;
/** One connection sends many of them, and the others just enough to stay. */
const oftenMs = 50;
const rarelyMs = 25_000;
/** Every handshake waits for the thread that this figure is about. */
const handshakeTimeoutMs = 60_000;
const quic = createQuic();

export async function quicKeepAlive(progress: Progress): Promise<Figures> {
  const counts = [0, few, many];
  const daemons: BenchDaemon[] = [];
  for (const count of counts) {
    progress(`a daemon with ${count} idle QUIC connections`);
    daemons.push(await connected(count));
  }
  progress('their keep-alives');
  // Processor time depends little on what else runs, so all are measured at the same time.
  const spent: number[][] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = await Promise.all(daemons.map((daemon) => daemon.ask('cpu')));
    await new Promise((resolve) => setTimeout(resolve, roundMs));
    const after = await Promise.all(daemons.map((daemon) => daemon.ask('cpu')));
    spent.push(after.map((cpu, at) => cpu - before[at]!));
  }
  for (const daemon of daemons) await daemon.stop();
  const sent = (count: number) => roundMs / oftenMs + ((count - 1) * roundMs) / rarelyMs;
  const costs = (at: number) => spent.map((cpu) => ((cpu[at]! - cpu[0]!) * 1000) / sent(counts[at]!));
  const [ofFew, ofMany] = [costs(1), costs(2)];
  return {
    'quic.keepalive_us': {
      value: median(ofMany),
      spread: quartiles(ofMany),
      unit: 'us',
      meaning:
        `Processor time of the daemon for one keep-alive over QUIC, with ${many} connections open. The library asks every ` +
        'connection of the listener for packets whenever one of them has received something.',
      parts: {
        [`with_${few}_connections_us`]: median(ofFew),
        [`with_${many}_connections_us`]: median(ofMany),
      },
    },
  };
}

/** A daemon with this many connections, which end with it. */
async function connected(count: number): Promise<BenchDaemon> {
  const config = { limits: { handshakeTimeoutMs } };
  const daemon = await BenchDaemon.start(Math.max(1, count / perDevice), { config });
  const { devices } = daemon.ready;
  const dial = async ({ enrollment }: PairedDevice, keepAliveMs: number) => {
    const port = portOf(enrollment.quicAddress!);
    const limits = { handshakeTimeoutMs };
    await streamCall(
      await quic.dial({ host: '127.0.0.1', port, tls: tlsOf(enrollment), keepAliveMs, limits }),
    );
  };
  for (let opened = 0; opened < count; opened += 1)
    await dial(devices[opened % devices.length]!, opened === 0 ? oftenMs : rarelyMs);
  return daemon;
}
