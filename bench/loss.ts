// transports.loss: the time of calls on both transports when packets are lost.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { LossyLink, lossyLinkMissing } from '../tests/testing/lossy-link.ts';
import { BenchDaemon } from './daemon-process.ts';
import type { LossQuestion } from './loss-client.ts';
import { type Figures, type Progress, quantile } from './measure.ts';
import { answerOf } from './server-process.ts';

const loss = 0.02;
const roundTripMs = 50;
const rounds = 4;
const lanes = 8;
const calls = 800;

export async function loseAndDelay(progress: Progress): Promise<Figures> {
  const missing = lossyLinkMissing();
  if (missing) {
    progress(`transports.loss ${missing.replace('TESTED', 'MEASURED')}`);
    return {};
  }
  progress(`calls over a link that loses ${loss * 100} % of the packets`);
  const ends: (() => Promise<void>)[] = [];
  try {
    const scope = { after: (end: () => Promise<void>) => void ends.unshift(end) };
    const link = await LossyLink.make(scope, { loss, delayMs: roundTripMs / 2 });
    const daemon = await BenchDaemon.start(1, { host: link.nearHost, under: link.near.under });
    scope.after(() => daemon.stop());
    const client = startClient(link.far.under);
    scope.after(async () => {
      const ended = once(client, 'exit');
      client.disconnect();
      await ended;
    });
    const { enrollment } = daemon.ready.devices[0]!;
    const times = { quic: [] as number[], http2: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      for (const transport of round % 2 === 0 ? (['quic', 'http2'] as const) : (['http2', 'quic'] as const)) {
        const answer = answerOf<number[]>(client);
        client.send({ transport, enrollment, lanes, calls } satisfies LossQuestion);
        times[transport].push(...(await answer));
      }
    }
    const [quic, http2] = [quantile(times.quic, 0.99), quantile(times.http2, 0.99)];
    return {
      'transports.loss': {
        value: quic / http2,
        unit: 'ratio',
        meaning:
          `The 99th percentile of calls of NodeService.Status over QUIC, as a share of that over ` +
          `HTTP/2: ${lanes} calls at a time on one connection, ${loss * 100} % of the packets lost in each direction, a ` +
          `round trip of ${roundTripMs} ms. Client and daemon are processes in network namespaces; the link between them ` +
          'is a program that moves IP packets between two TUN devices, the same for both.',
        parts: {
          quic_p50_ms: quantile(times.quic, 0.5),
          quic_p99_ms: quic,
          http2_p50_ms: quantile(times.http2, 0.5),
          http2_p99_ms: http2,
          calls_of_each: times.quic.length,
        },
      },
    };
  } finally {
    for (const end of ends) await end();
  }
}

function startClient(under: readonly string[]): ChildProcess {
  const [command, ...words] = [...under, process.execPath];
  const script = new URL('./loss-client.ts', import.meta.url).pathname;
  return spawn(command!, [...words, '--disable-warning=ExperimentalWarning', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
}
