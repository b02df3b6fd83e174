// Growth of a daemon's memory over many rounds of one work.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Figure, median, type Progress } from '../measure.ts';

/** `npm run soak -- growth` plays all rounds of the works, and the benchmark a share of them. */
export const share = Number(process.env.PALYRA_SOAK_SHARE ?? 0.05);
const works = [
  'http2',
  'quic',
  'pairing',
  'websocket',
  'renewals',
  'refused_pairings',
  'capability_runs',
  'console_reloads',
] as const;
export type SoakWork = (typeof works)[number];
/** Only these works. Default: all. */
const wanted: readonly string[] = process.env.PALYRA_SOAK_WORKS?.split(',') ?? works;
const unknown = wanted.find((each) => !(works as readonly string[]).includes(each));
if (unknown !== undefined) throw new Error(`there is no work called "${unknown}": use ${works.join(', ')}`);
/** All rounds of all works take hours, so each work is kept as soon as it is done, and may be played alone. */
const kept = process.env.PALYRA_SOAK_KEEP
  ? join(import.meta.dirname, '../../docs/performance/soak.json')
  : '';

/** Until then, memory grows to its working size. All rounds are ten times as many. */
const warmUp = share === 1 ? 0.1 : 0.5;
const samples = 20;
/** Resident memory goes up and down by 20 MiB, also where nothing is kept, so its growth is one of medians of so many samples. */
const together = 3;
/** What connections that just ended leave behind is gone after ten seconds (limits.md), and a sweep. */
const settleMs = 15_000;
/** Share of the rounds. */
const mostFailed = 0.01;
const mib = 2 ** 20;
/** Growth that counts as none. */
export const mostMib = 5;

export interface Measured {
  /** After collections of garbage. */
  memory(): Promise<number>;
  /** As it is. */
  resident(): Promise<number>;
}

export interface Growth {
  readonly rounds: number;
  /** Of them. On a machine without a free processor, some run into a time limit. */
  readonly failed: number;
  /** Of what stays, from the end of the warm-up to the end of the work. */
  readonly mib: number;
  /** The most, garbage included. */
  readonly peakMib: number;
  /** Resident memory in MiB by the number of rounds, garbage included. */
  readonly line: readonly (readonly [x: number, y: number])[];
}

export interface Rounds {
  readonly name: string;
  readonly all: number;
  /** Rounds at one time. */
  readonly lanes: number;
  readonly round: (index: number) => Promise<unknown>;
}

export async function growthOf(
  daemon: Measured,
  { name, all, lanes, round }: Rounds,
  progress: Progress,
): Promise<Growth> {
  const rounds = Math.round(all * share);
  let next = 0;
  let failed = 0;
  const playUntil = async (until: number) => {
    const lane = async () => {
      while (next < until) {
        await round(next++).catch((error) => {
          failed += 1;
          if (failed === 1) console.error(error);
          if (failed > mostFailed * rounds) throw error;
        });
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  };
  const settled = async () => {
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    return daemon.memory();
  };
  const line: (readonly [number, number])[] = [];
  const kept: number[] = [];
  for (let sample = 1; sample <= samples; sample += 1) {
    await playUntil(Math.round((rounds * sample) / samples));
    const residentMib = (await daemon.resident()) / mib;
    line.push([next, residentMib]);
    progress(`soak: ${name}, ${next} of ${rounds}: ${Math.round(residentMib)} MiB`);
    if (sample >= samples * warmUp && sample % 2 === 0) kept.push(await settled());
  }
  return {
    rounds,
    failed,
    mib: (median(kept.slice(-together)) - median(kept.slice(0, together))) / mib,
    peakMib: Math.max(...line.map(([, each]) => each)),
    line,
  };
}

export type Grow = (name: string, progress: Progress) => Promise<Growth>;

/** The growths of these works, and those that were kept of the others. */
export async function growthsOf(
  grows: Readonly<Partial<Record<SoakWork, Grow>>>,
  progress: Progress,
): Promise<Record<string, Growth>> {
  const growths: Record<string, Growth> = {};
  for (const [work, grow] of Object.entries(grows)) {
    const name = work.replaceAll('_', ' ');
    const before = readKept()[work];
    if (!wanted.includes(work)) {
      if (before) growths[work] = before;
      continue;
    }
    progress(`soak: ${name}`);
    const growth = await grow(name, progress);
    growths[work] = growth;
    progress(`soak: ${name} grew by ${growth.mib.toFixed(1)} MiB`);
    if (kept) writeFileSync(kept, `${JSON.stringify({ ...readKept(), [work]: growth }, null, 1)}\n`);
  }
  return growths;
}

function readKept(): Record<string, Growth> {
  return kept && existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : {};
}

/** @param what of which there are so many rounds. */
export function growthFigure(
  growths: Readonly<Record<string, Growth>>,
  { figure, what, title }: { readonly figure: string; readonly what: string; readonly title: string },
): Readonly<Record<string, Figure>> {
  const named = Object.entries(growths);
  if (named.length === 0) return {};
  const begin = share === 1 ? 'the first tenth' : 'the first half';
  return {
    [figure]: {
      value: Math.max(...named.map(([, growth]) => growth.mib)),
      target: { atMost: mostMib },
      unit: 'MiB',
      meaning:
        `Growth of the daemon's memory by ${what}, from the median of three samples after ${begin} to that of the last three, each ` +
        'after collections of garbage; the largest of several. peak: the most while they ran, with garbage.',
      parts: Object.fromEntries(
        named.flatMap(([name, growth]) => [
          [name, growth.rounds],
          ...(growth.failed > 0 ? [[`${name}_failed`, growth.failed] as const] : []),
          [`${name}_growth_mib`, growth.mib],
          [`${name}_peak_mib`, growth.peakMib],
        ]),
      ),
      plot: {
        kind: 'lines',
        title,
        x: { label: 'share of the rounds, %' },
        y: { label: 'resident memory, MiB' },
        lines: named.map(([name, { rounds, line }]) => [
          name.replaceAll('_', ' '),
          line.map(([x, y]) => [(x * 100) / rounds, y]),
        ]),
      },
    },
  };
}
