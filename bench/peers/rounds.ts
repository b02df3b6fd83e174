// The same work for every peer, alternately, with the processor time of its server.

import { interleave, median, type Rounds, ratio } from '../measure.ts';
import type { PeerName } from './names.ts';
import type { Peer, Peers } from './peers.ts';

/** Of each counted round. */
export interface Beside {
  readonly ms: Readonly<Record<PeerName, readonly number[]>>;
  readonly processorUs: Readonly<Record<PeerName, readonly number[]>>;
}

/** @param work @returns how many things it did, and in what time. */
export async function beside(
  peers: Peers,
  rounds: Rounds,
  work: (peer: Peer) => Promise<{ readonly count: number; readonly elapsedMs: number }>,
): Promise<Beside> {
  const processorUs = peers.each((): number[] => []);
  const measured = (peer: Peer) => async () => {
    const before = await peer.cpuMs();
    const { count, elapsedMs } = await work(peer);
    processorUs[peer.name].push((((await peer.cpuMs()) - before) * 1000) / count);
    return elapsedMs / count;
  };
  const ms = await interleave(peers.each(measured), rounds);
  return { ms, processorUs: peers.each(({ name }) => processorUs[name].slice(-rounds.rounds)) };
}

/** Our rate over each peer's, and the rate and processor time of each. */
export function besideParts(peers: Peers, { ms, processorUs }: Beside): Record<string, number> {
  const parts: Record<string, number> = {};
  for (const { name } of peers.all) {
    const part = partOf(name);
    if (name !== 'palyra') parts[`share_of_${part}`] = ratio(ms[name], ms.palyra).value;
    parts[`${part}_per_second`] = 1000 / median(ms[name]);
    parts[`${part}_processor_us`] = median(processorUs[name]);
  }
  return parts;
}

export const partOf = (name: PeerName) => name.replace('-', '_');
