// Searches for daemons on the local network. It multicasts one question from its own port, and daemons answer to that port
// (RFC 6762, 5.1). Anybody can answer, so the number of answers that are read is limited.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LanInterface, lanInterfaces } from './interfaces.ts';
import {
  decodeAnswer,
  encodeQuery,
  type FoundDaemon,
  multicastGroups,
  multicastPort,
  readAnswer,
} from './records.ts';

export interface LanSearchOptions {
  /** Ends the search early. */
  readonly signal: AbortSignal;
  /** How long to wait for answers, ms. Default 1500. */
  readonly waitMs?: number;
}

const defaultWaitMs = 1_500;
/** When to repeat the question, ms, because a packet may be lost. */
const againMs = 500;
const maxFound = 16;
/** Packets that one search reads. */
const maxPackets = 256;
/** Packets and daemons from one address, so that one neighbour cannot crowd out the others. */
const packetsPerSource = 32;
const foundPerSource = 4;

/**
 * @returns the daemons in the order in which they answered. Empty if no interface can send the question. A daemon that
 *   answered on several networks appears with one address for each.
 */
export async function searchLan({
  signal,
  waitMs = defaultWaitMs,
}: LanSearchOptions): Promise<FoundDaemon[]> {
  const found = new Map<string, FoundDaemon>();
  let packets = 0;
  const sources = new Map<string, { packets: number; found: number }>();
  const take = (bytes: Buffer, zone: string, from: string) => {
    const source = sources.get(from) ?? { packets: 0, found: 0 };
    source.packets += 1;
    if (source.packets > packetsPerSource) return;
    packets += 1;
    if (packets > maxPackets) return;
    sources.set(from, source);
    const packet = decodeAnswer(bytes);
    if (!packet) return;
    for (const daemon of readAnswer(packet, zone)) {
      const key = `${daemon.trustDomain} ${daemon.address}`;
      if (found.has(key) || found.size >= maxFound || source.found >= foundPerSource) continue;
      source.found += 1;
      found.set(key, daemon);
    }
  };
  const opened = await Promise.all(lanInterfaces().map((each) => open(each, take)));
  const asking = opened.filter((each) => each !== undefined);
  try {
    for (const left of [againMs, waitMs - againMs]) {
      for (const { socket, at } of asking)
        socket.send(encodeQuery(), multicastPort, groupOf(at), () => {
          // An interface that has no multicast route has no neighbours.
        });
      await sleep(Math.max(left, 0), undefined, { signal });
    }
  } finally {
    for (const { socket } of asking) socket.close();
  }
  return [...found.values()];
}

const groupOf = ({ family, name }: LanInterface) =>
  family === 'IPv4' ? multicastGroups.IPv4 : `${multicastGroups.IPv6}%${name}`;

async function open(
  at: LanInterface,
  take: (bytes: Buffer, zone: string, from: string) => void,
): Promise<{ readonly socket: Socket; readonly at: LanInterface } | undefined> {
  const isIpv4 = at.family === 'IPv4';
  const socket = createSocket({ type: isIpv4 ? 'udp4' : 'udp6', ipv6Only: !isIpv4 });
  try {
    socket.on('message', (bytes, from) => take(bytes, at.name, from.address));
    await once(socket.bind({ address: isIpv4 ? at.handle : '::', port: 0, exclusive: true }), 'listening');
    socket.setMulticastInterface(at.handle);
    socket.setMulticastTTL(255);
    socket.on('error', () => {});
    return { socket, at };
  } catch {
    socket.close();
    return undefined;
  }
}
