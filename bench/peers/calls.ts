// peers.calls: calls per second of our daemon and of bare servers, from one foreign client.

import { type Figures, interleave, median, type Progress, ratio } from '../measure.ts';
import { type Peer, Peers } from './peers.ts';

const inFlight = 64;
const roundMs = 1_000;
const rounds = { rounds: 9, warmUp: 2 };

export async function calls(progress: Progress): Promise<Figures> {
  await using peers = await Peers.start(['palyra', 'node', 'grpc-js', 'grpc-go'], progress);
  if (!peers) return {};
  progress(`peers: calls, ${inFlight} at a time`);
  const processorUs = peers.each((): number[] => []);
  const p99Ms = peers.each((): number[] => []);
  const work = (peer: Peer) => async () => {
    const before = await peer.cpuMs();
    const called = await peers.client.calls(peer.target, inFlight, roundMs);
    processorUs[peer.name].push((((await peer.cpuMs()) - before) * 1000) / called.calls);
    p99Ms[peer.name].push(called.p99Ms);
    return called.elapsedMs / called.calls;
  };
  const msPerCall = await interleave(peers.each(work), rounds);
  const parts: Record<string, number> = {};
  for (const { name } of peers.all) {
    const part = name.replace('-', '_');
    const counted = <Value>(values: readonly Value[]) => values.slice(-rounds.rounds);
    if (name !== 'palyra') parts[`share_of_${part}`] = ratio(msPerCall[name], msPerCall.palyra).value;
    parts[`${part}_per_second`] = 1000 / median(msPerCall[name]);
    parts[`${part}_p99_ms`] = median(counted(p99Ms[name]));
    parts[`${part}_processor_us`] = median(counted(processorUs[name]));
  }
  return {
    'peers.calls': {
      ...ratio(msPerCall.node, msPerCall.palyra),
      unit: 'ratio',
      meaning:
        `Calls of NodeService.Status per second on our daemon, over Node's bare HTTP/2 server that sends the same bytes and ` +
        `checks nothing. One grpc-go client, ${inFlight} calls in flight on one connection, on the same machine. grpc-go uses ` +
        'all cores, the others one.',
      parts,
      plot: {
        title: `Calls per second, ${inFlight} in flight`,
        kind: 'bars',
        unit: 'calls per second',
        bars: peers.all.map(({ name }) => [name, 1000 / median(msPerCall[name])]),
      },
    },
  };
}
