// `npm run soak -- connections`, or `node scripts/soak/connections.ts`: makes connections to every listener of a
// daemon, ends them in every possible way, and checks that the daemon's memory and descriptors do not grow. The daemon
// is a separate process on loopback addresses, measured through /proc.
//
//   --connections N   total number (200000)
//   --only LISTENER   only this listener
//   --lanes N         number at one time (32)
//   --node FILE       the Node that runs the daemon (this one)
//   --json            print a JSON document instead of the table

import { parseArgs } from 'node:util';
import { type Ending, MeasuredDaemon } from '../../tests/testing/measured-daemon.ts';

/** The warm-up, as a share of the soak: a daemon's memory grows to its working size and does not count yet. */
const warmUp = 0.2;
/** Allowed growth after that. A smaller limit would depend on the garbage collector. */
const mostGrowthBytes = 64 * 2 ** 20;
const samples = 20;
const mib = 2 ** 20;
const hosts = 16;
/** A soak that takes longer is considered hung. */
const longestRunMs = 6 * 60 * 60_000;

interface Sample {
  readonly connections: number;
  readonly seconds: number;
  readonly residentMiB: number;
  readonly descriptors: number;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      connections: { type: 'string', default: '200000' },
      only: { type: 'string' },
      lanes: { type: 'string', default: '32' },
      node: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const ends: (() => Promise<void>)[] = [];
  try {
    const daemon = await MeasuredDaemon.start(
      { after: (end) => void ends.push(end) },
      {},
      { longestRunMs, ...(values.node && { program: values.node }) },
    );
    const endings = (await daemon.endings()).filter(({ listener }) => listener === (values.only ?? listener));
    return await soak(daemon, endings, Number(values.connections), Number(values.lanes), values.json);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function soak(
  daemon: MeasuredDaemon,
  endings: readonly Ending[],
  total: number,
  lanes: number,
  json: boolean,
): Promise<number> {
  const counts = new Map<Ending, { made: number; failed: number }>();
  for (const ending of endings) counts.set(ending, { made: 0, failed: 0 });
  const taken: Sample[] = [];
  const started = performance.now();
  const take = async (connections: number) => {
    const sample = {
      connections,
      seconds: Math.round((performance.now() - started) / 1000),
      residentMiB: Math.round((await daemon.residentBytes()) / mib),
      descriptors: await daemon.descriptors(),
    };
    taken.push(sample);
    if (!json) console.log(line(sample));
  };
  if (!json) console.log(' connections    after   resident   descriptors');
  await take(0);
  let next = 0;
  for (let part = 1; part <= samples; part += 1) {
    const until = Math.round((total * part) / samples);
    const lane = async () => {
      while (next < until) {
        const index = next++;
        const ending = endings[index % endings.length]!;
        const count = counts.get(ending)!;
        // From many addresses, to stay below the limits of one source.
        await ending.run(`127.0.1.${1 + (index % hosts)}`).catch((error) => {
          count.failed += 1;
          if (count.failed === 1) console.error(`${ending.listener}, ${ending.name}: ${error}`);
        });
        count.made += 1;
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    await take(next);
  }
  const first = taken[0]!;
  await daemon.withoutConnections('pairing', 'node', 'quic');
  await daemon.settled(first.descriptors);
  await take(next);
  const last = taken.at(-1)!;
  const warm = taken.filter(({ connections }) => connections >= total * warmUp);
  const growthBytes =
    (last.residentMiB - Math.max(...warm.slice(0, 2).map((each) => each.residentMiB))) * mib;
  const isFlat = growthBytes <= mostGrowthBytes && last.descriptors <= first.descriptors + 2;
  const byEnding = [...counts].map(([{ listener, name }, { made, failed }]) => ({
    listener,
    name,
    made,
    failed,
  }));
  if (json) {
    console.log(JSON.stringify({ samples: taken, endings: byEnding, growthBytes, isFlat }));
  } else {
    for (const { listener, name, made, failed } of byEnding)
      console.log(
        `${listener.padEnd(8)} ${name.padEnd(52)} ${String(made).padStart(6)}${failed ? `, ${failed} failed` : ''}`,
      );
    console.log(`after the warm-up it grew by ${Math.round(growthBytes / mib)} MiB`);
    console.log(isFlat ? 'Memory and descriptors are stable.' : 'MEMORY OR DESCRIPTORS GROW.');
  }
  return isFlat ? 0 : 1;
}

const line = ({ connections, seconds, residentMiB, descriptors }: Sample) =>
  `${String(connections).padStart(12)} ${`${seconds} s`.padStart(8)} ${`${residentMiB} MiB`.padStart(10)} ${String(descriptors).padStart(13)}`;

process.exitCode = await main();
