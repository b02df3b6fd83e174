// peers.calls, peers.latency: calls of our daemon and of bare servers, from one foreign client.

import { type Figures, median, type Progress, ratio } from '../measure.ts';
import { Peers } from './peers.ts';
import { beside, besideParts, partOf } from './rounds.ts';

const inFlight = 64;
const roundMs = 1_000;
const rounds = { rounds: 11, warmUp: 3 };
const called = ['palyra', 'node', 'grpc-js', 'grpc-go'] as const;

export async function calls(progress: Progress): Promise<Figures> {
  await using peers = await Peers.start(called, progress);
  if (!peers) return {};
  progress(`peers: calls, ${inFlight} at a time`);
  const p99Ms = peers.each((): number[] => []);
  const measured = await beside(peers, rounds, async ({ name, target }) => {
    const { calls: count, elapsedMs, p99Ms: slow } = await peers.client.calls(target, inFlight, roundMs);
    p99Ms[name].push(slow);
    return { count, elapsedMs };
  });
  const slowest = peers.all.map(({ name }) => [
    `${partOf(name)}_p99_ms`,
    median(p99Ms[name].slice(-rounds.rounds)),
  ]);
  return {
    'peers.calls': {
      ...ratio(measured.ms.node, measured.ms.palyra),
      unit: 'ratio',
      meaning:
        'Calls of NodeService.Status per second on our daemon, over a bare HTTP/2 server of Node that sends the same bytes. ' +
        `One grpc-go client, ${inFlight} calls in flight on one connection. grpc-go uses all cores, the other servers ` +
        'one; the client runs beside them.',
      parts: { ...besideParts(peers, measured), ...Object.fromEntries(slowest) },
      plot: {
        title: `Calls per second, ${inFlight} in flight`,
        kind: 'bars',
        unit: 'calls per second',
        bars: peers.all.map(({ name }) => [name, 1000 / median(measured.ms[name])]),
      },
    },
  };
}

const perSecond = [500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000];
const loadRounds = 3;
/** A server that is this late does not keep up, and gets no more. */
const tooLateMs = 500;

export async function latency(progress: Progress): Promise<Figures> {
  await using peers = await Peers.start(called, progress);
  if (!peers) return {};
  const p99Ms = peers.each((): [x: number, y: number][] => []);
  for (const { target } of peers.all) await peers.client.calls(target, inFlight, 3 * roundMs);
  let keepingUp = peers.all;
  for (const load of perSecond) {
    if (keepingUp.length === 0) break;
    progress(`peers: ${load} calls a second`);
    const slow = peers.each((): number[] => []);
    for (let round = 0; round < loadRounds; round += 1) {
      for (const { name, target } of round % 2 === 0 ? keepingUp : keepingUp.toReversed())
        slow[name].push((await peers.client.load(target, load, roundMs)).p99Ms);
    }
    for (const { name } of keepingUp) p99Ms[name].push([load, median(slow[name])]);
    keepingUp = keepingUp.filter(({ name }) => median(slow[name]) < tooLateMs);
  }
  const at = (name: (typeof called)[number], load: number) =>
    p99Ms[name]?.find(([x]) => x === load)?.[1] ?? Number.NaN;
  const load = 2_000;
  const parts = peers.all.flatMap(({ name }) =>
    p99Ms[name].map(([x, y]) => [`${partOf(name)}_p99_ms_at_${x}`, y] as const),
  );
  return {
    'peers.latency': {
      value: at('palyra', load) / at('node', load),
      unit: 'ratio',
      meaning:
        `p99 of calls at ${load} calls a second on our daemon, over Node's bare HTTP/2 server. One grpc-go client on one ` +
        'connection calls at fixed times, and a latency counts from the time at which a call was due. A server that is ' +
        `${tooLateMs} ms late gets no higher load.`,
      parts: Object.fromEntries(parts),
      plot: {
        title: 'Latency against load',
        kind: 'lines',
        x: { label: 'calls per second', isLogarithmic: true },
        y: { label: 'p99, ms', isLogarithmic: true },
        lines: peers.all.map(({ name }) => [name, p99Ms[name]]),
      },
    },
  };
}
