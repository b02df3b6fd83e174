// npm run bench: measures the promised figures, for a person or as JSON.

import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { inBrowser } from './browser.ts';
import { overChannel } from './channel.ts';
import { cli } from './cli.ts';
import { consoleScroll } from './console.ts';
import { disk } from './disk.ts';
import { handshake } from './handshake.ts';
import { issue } from './issue.ts';
import { quicKeepAlive } from './keepalive.ts';
import { loseAndDelay } from './loss.ts';
import { type Figure, type Figures, type Plot, type Progress, reached } from './measure.ts';
import { keepFigures, writePages } from './page/kept.ts';
import { pairing } from './pairing.ts';
import { calls, latency } from './peers/calls.ts';
import { connect, memory, memoryOverTime } from './peers/connections.ts';
import { registry } from './registry.ts';
import { renew } from './renew.ts';
import { renewConnecting } from './renew-connecting.ts';
import { revocationList } from './revocation-list.ts';
import { revoke } from './revoke.ts';
import { rpc } from './rpc.ts';
import { sharedFleet } from './shared-fleet.ts';
import { soakConnections } from './soak/connections.ts';
import { soakWork } from './soak/work.ts';
import { overHttp2, overQuic } from './transports.ts';

const families: Readonly<Record<string, (progress: Progress) => Promise<Figures>>> = {
  cli,
  issue,
  pairing,
  registry,
  handshake,
  rpc,
  revoke,
  ...sharedFleet,
  revocation_list: revocationList,
  disk,
  renew,
  'renew.connecting': renewConnecting,
  http2: overHttp2,
  quic: overQuic,
  'quic.keepalive_us': quicKeepAlive,
  channel: overChannel,
  transports: loseAndDelay,
  browser: inBrowser,
  console: consoleScroll,
  'soak.connections': soakConnections,
  'soak.work': soakWork,
  'peers.calls': calls,
  'peers.latency': latency,
  'peers.connect': connect,
  'peers.memory': memory,
  'peers.memory_over_time': memoryOverTime,
};

const usage = `npm run bench -- [--json] [--only PREFIX] [--save]
npm run bench -- --plots

  --json         {"figures": {...}, "machine": {...}} on standard output
  --only PREFIX  only figures whose names start so, for example: --only registry
  --save         keeps the figures in docs/performance/figures.json, and writes docs/performance.md and its plots
  --plots        only writes docs/performance.md and its plots, from the figures that were kept
`;

const machine = {
  processor: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memoryMib: Math.round(totalmem() / 2 ** 20),
  system: `${process.platform} ${release().split('-')[0]} ${process.arch}`,
  node: process.version,
  openssl: process.versions.openssl,
};

async function main(): Promise<number> {
  const known = {
    json: { type: 'boolean' },
    only: { type: 'string' },
    save: { type: 'boolean' },
    plots: { type: 'boolean' },
  } as const;
  let options: ReturnType<typeof parseArgs<{ options: typeof known }>>['values'];
  try {
    options = parseArgs({ options: known }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options.plots) {
    writePages();
    return 0;
  }
  const only = options.only ?? '';
  const wanted = Object.entries(families).filter(([name]) =>
    only in families ? name === only : name.startsWith(only) || `${only}.`.startsWith(`${name}.`),
  );
  if (wanted.length === 0) {
    console.error(`No figure starts with "${only}".\n\n${usage}`);
    return 2;
  }

  if (!options.json) console.log(`${describeMachine()}\n`);
  const figures: Record<string, Figure> = {};
  // One measurement can have several names.
  for (const measure of new Set(wanted.map(([, each]) => each))) {
    const measured = { on: today(), machine: describeMachine(), load: round(loadavg()[0]!) };
    const own = Object.entries(await measure(showProgress)).filter(([name]) => name.startsWith(only));
    for (const [name, figure] of own) {
      figures[name] = figure;
      if (!options.json) console.log(`${describe(name, figure)}\n`);
    }
    // At once, because a whole run takes hours.
    if (options.save && own.length > 0) {
      keepFigures(
        Object.fromEntries(own.map(([name, figure]) => [name, { ...forMachines(figure), measured }])),
      );
      writePages();
    }
  }
  if (options.json) {
    const described = Object.entries(figures).map(([name, figure]) => [name, forMachines(figure)]);
    console.log(JSON.stringify({ figures: Object.fromEntries(described), machine }, null, 2));
  }
  return 0;
}

const today = () => new Date().toISOString().slice(0, 10);

/** Prints to standard error, apart from the results. */
function showProgress(what: string): void {
  console.error(`… ${what}`);
}

function describeMachine(): string {
  const { processor, cores, memoryMib, system, node, openssl } = machine;
  return `${processor}, ${cores} virtual cores, ${Math.round(memoryMib / 1024)} GiB, ${system}, Node ${node}, OpenSSL ${openssl}`;
}

function describe(name: string, figure: Figure): string {
  const { value, unit, spread, target, meaning, parts, whenMissed } = figure;
  const lines = [`${name}  ${round(value)}${unit === 'ratio' ? '' : ` ${unit}`}`];
  if (target) lines[0] += `  (target ${targetText(figure)}: ${reached(figure) ? 'reached' : 'NOT reached'})`;
  lines.push(`  ${meaning}`);
  const made = Object.entries(parts).map(([part, number]) => `${part} ${round(number)}`);
  if (spread) made.push(`half of the rounds between ${round(spread[0])} and ${round(spread[1])}`);
  lines.push(`  ${made.join(', ')}`);
  if (whenMissed && !reached(figure)) lines.push(`  Where the time goes: ${whenMissed}`);
  return lines.join('\n');
}

function forMachines(figure: Figure) {
  const { value, target, unit, meaning, spread, parts, whenMissed, plot } = figure;
  return {
    value: round(value),
    ...(target && { target: targetText(figure), reached: reached(figure) }),
    unit,
    meaning,
    ...(spread && { spread: spread.map(round) }),
    ...(whenMissed && !reached(figure) && { whereTheTimeGoes: whenMissed }),
    parts: Object.fromEntries(Object.entries(parts).map(([name, number]) => [name, round(number)])),
    ...(plot && { plot: rounded(plot) }),
  };
}

function rounded(plot: Plot): Plot {
  if (plot.kind === 'bars') return { ...plot, bars: plot.bars.map(([name, value]) => [name, round(value)]) };
  const lines = plot.lines.map(
    ([name, points]) => [name, points.map(([x, y]) => [round(x), round(y)] as const)] as const,
  );
  return { ...plot, lines };
}

function targetText({ target }: Figure): string {
  return target?.atMost !== undefined ? `<= ${target.atMost}` : `>= ${target?.atLeast}`;
}

/** Three significant digits. */
function round(value: number): number {
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

// Exit handlers also remove temporary files on a signal.
process.once('SIGINT', () => process.exit(130));
process.exitCode = await main();
