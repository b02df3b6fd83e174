// renew.connecting: renewals of devices that connect for each of them.

import type { TLSSocket } from 'node:tls';
import { renewCertificate } from '@palyra/identity/device';
import { FleetProcess } from './fleet.ts';
import { contextOf, oneHandshake } from './handshake.ts';
import { type Figures, interleave, median, type Progress, quartiles } from './measure.ts';
import { ServerProcess } from './server-process.ts';

const perRound = 100;
const lanes = 8;
const rounds = { rounds: 20, warmUp: 5 };
/** A device gets no more than 20 certificates in ten minutes. */
const devices = (perRound * (rounds.rounds + rounds.warmUp)) / 10;

export async function renewConnecting(progress: Progress): Promise<Figures> {
  progress(`a daemon with ${devices} paired devices`);
  await using daemon = await FleetProcess.start(devices);
  await using servers = await ServerProcess.start();
  const { ports, device } = servers.ready;
  const secureContext = contextOf(device);
  const open: TLSSocket[] = [];
  let next = 0;

  progress('renewals on new connections against handshakes of a bare TLS server');
  const cpu: Record<'renewals' | 'handshakes', number[]> = { renewals: [], handshakes: [] };
  const counted = async (
    name: keyof typeof cpu,
    process: FleetProcess | ServerProcess,
    one: () => Promise<void>,
  ) => {
    const before = await process.ask('cpu');
    const started = performance.now();
    let left = perRound;
    const lane = async () => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    const tookMs = performance.now() - started;
    cpu[name].push((await process.ask('cpu')) - before);
    return tookMs;
  };
  const { renewals, handshakes } = await interleave(
    {
      renewals: () =>
        counted('renewals', daemon, async () => {
          const live = await daemon.dial(next++ % devices);
          await renewCertificate(live.device, live.enrollment, live.renew);
          live.close();
        }),
      handshakes: async () => {
        const tookMs = await counted('handshakes', servers, () =>
          oneHandshake(ports.bare, device.trustDomain, secureContext, open),
        );
        for (const socket of open.splice(0)) socket.destroy();
        await servers.ask('empty');
        return tookMs;
      },
    },
    rounds,
  );
  const shares = cpu.handshakes.map((each, round) => each / cpu.renewals[round]!).slice(rounds.warmUp);
  const eachUs = (name: keyof typeof cpu) => (median(cpu[name].slice(rounds.warmUp)) * 1000) / perRound;
  return {
    'renew.connecting': {
      value: median(shares),
      spread: quartiles(shares),
      target: { atLeast: 0.9 },
      unit: 'ratio',
      meaning:
        'Processor time of a bare TLS server for one mutual handshake, over that of the daemon for a device that connects, ' +
        'renews its certificate and leaves. One client process, 8 at a time.',
      parts: {
        renewal_processor_us: eachUs('renewals'),
        handshake_processor_us: eachUs('handshakes'),
        renewals_per_second: (perRound * 1000) / median(renewals),
        handshakes_per_second: (perRound * 1000) / median(handshakes),
      },
      whenMissed:
        'beside the handshake, there are an HTTP/2 session, a call, two verifications, a signature, and eight rows that are ' +
        'durable before the answer.',
    },
  };
}
