// peers.connect, peers.memory, peers.memory_over_time: connections of devices to our daemon and to bare servers.

import { type Figures, median, type Progress, ratio } from '../measure.ts';
import { peerNames } from './names.ts';
import { Peers } from './peers.ts';
import { beside, besideParts, partOf } from './rounds.ts';

const atATime = 8;
const mib = 2 ** 20;

const inARound = 100;

export async function connect(progress: Progress): Promise<Figures> {
  await using peers = await Peers.start(peerNames, progress);
  if (!peers) return {};
  progress(`peers: new connections, ${atATime} at a time`);
  const measured = await beside(peers, { rounds: 9, warmUp: 2 }, async ({ target }) => ({
    count: inARound,
    elapsedMs: await peers.client.connect(target, inARound, atATime),
  }));
  return {
    'peers.connect': {
      ...ratio(measured.ms.node, measured.ms.palyra),
      unit: 'ratio',
      meaning:
        'New connections with mutual TLS 1.3 and HTTP/2 per second on our daemon, over a bare HTTP/2 server of Node, from one ' +
        `Go client, ${atATime} at a time, each until the server's first bytes. s_server speaks no HTTP/2: it answers a ` +
        'line, and serves one connection after another. grpc-go uses all cores, the other servers one.',
      parts: besideParts(peers, measured),
      plot: {
        title: 'Processor time of the server for a new connection',
        kind: 'bars',
        unit: 'µs',
        bars: peers.all.map(({ name }) => [name, median(measured.processorUs[name])]),
      },
    },
  };
}

const opened = [0, 250, 500, 750, 1_000, 1_500, 2_000];
const held = peerNames.filter((name) => name !== 's_server');

export async function memory(progress: Progress): Promise<Figures> {
  const most = opened.at(-1)!;
  await using peers = await Peers.start(held, progress, most);
  if (!peers) return {};
  progress(`peers: memory with ${most} connections`);
  const lines = peers.each((): [x: number, y: number][] => []);
  for (const { name, target, residentBytes } of peers.all) {
    // The first connections cost more, and once.
    await peers.client.connect(target, 100, atATime);
    for (const count of opened) {
      if (count > 0) await peers.client.hold(target, count);
      lines[name].push([count, (await residentBytes()) / mib]);
    }
    await peers.client.hold(target, 0);
  }
  const kib = peers.all.map(({ name }) => {
    const [[, before], [, after]] = [lines[name][0]!, lines[name].at(-1)!];
    return [name, ((after - before) * 1024) / most] as const;
  });
  const { palyra } = Object.fromEntries(kib);
  return {
    'peers.memory': {
      value: palyra!,
      unit: 'KiB',
      meaning:
        `What the memory of our daemon grows by for each of ${most} connections of devices that are open and idle, as ` +
        'the system sees it, with what no garbage collection has removed yet.',
      parts: {
        ...Object.fromEntries(kib.slice(1).map(([name, each]) => [`${partOf(name)}_kib`, each])),
        ...Object.fromEntries(peers.all.map(({ name }) => [`${partOf(name)}_idle_mib`, lines[name][0]![1]])),
      },
      plot: {
        title: 'Memory against open connections',
        kind: 'lines',
        x: { label: 'open connections' },
        y: { label: 'resident memory, MiB' },
        lines: peers.all.map(({ name }) => [name, lines[name]]),
      },
    },
  };
}

const total = 20_000;
const samples = 40;
/** Until then, a process grows to its working size. */
const warmUp = 0.2;

export async function memoryOverTime(progress: Progress): Promise<Figures> {
  await using peers = await Peers.start(held, progress);
  if (!peers) return {};
  progress(`peers: ${total} connections that come and go on each server (minutes)`);
  const lines = peers.each((): [x: number, y: number][] => []);
  const began = performance.now();
  for (let sample = 0; sample <= samples; sample += 1) {
    for (const { name, target, residentBytes } of peers.all) {
      if (sample > 0) await peers.client.connect(target, total / samples, atATime);
      lines[name].push([(performance.now() - began) / 60_000, (await residentBytes()) / mib]);
    }
  }
  const growth = peers.all.map(({ name }) => {
    const warm = lines[name].slice(samples * warmUp).map(([, each]) => each);
    return [name, median(warm.slice(-5)) - median(warm.slice(0, 5))] as const;
  });
  const { palyra } = Object.fromEntries(growth);
  return {
    'peers.memory_over_time': {
      value: palyra!,
      unit: 'MiB',
      meaning:
        `Growth of our daemon's memory while ${total} connections of devices come and go, ${atATime} at a time, after the first ` +
        `${total * warmUp}. The servers take turns, with ${total / samples} connections in each.`,
      parts: {
        ...Object.fromEntries(growth.slice(1).map(([name, each]) => [`${partOf(name)}_mib`, each])),
        minutes: (performance.now() - began) / 60_000,
      },
      plot: {
        title: 'Memory while connections come and go',
        kind: 'lines',
        x: { label: 'minutes' },
        y: { label: 'resident memory, MiB' },
        lines: peers.all.map(({ name }) => [name, lines[name]]),
      },
    },
  };
}
