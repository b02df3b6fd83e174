// The method of measurement: the compared works run alternately, in short rounds within one process, and a figure is
// the median over the rounds. So other load on the machine disturbs both sides equally, or only a few rounds.

/** One call of the measured work. If it returns a number, that is its own measurement, ms. */
export type Work = () => unknown;

export interface Target {
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Figure {
  readonly value: number;
  readonly unit: 'ratio' | 'ms' | 'us' | 'MiB' | 'KiB' | 'calls' | 'round trips';
  readonly meaning: string;
  readonly target?: Target;
  /** First and third quartile over the rounds. */
  readonly spread?: readonly [number, number];
  /** The explanation of where the time goes, printed if the target is missed. */
  readonly whenMissed?: string;
  /** The parts of the value, by name and unit. */
  readonly parts: Readonly<Record<string, number>>;
  /** For docs/performance.md. */
  readonly plot?: Plot;
}

export interface Axis {
  /** With the unit. */
  readonly label: string;
  readonly isLogarithmic?: boolean;
}

interface Lines {
  readonly kind: 'lines';
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly (readonly [name: string, points: readonly (readonly [x: number, y: number])[]])[];
}

interface Bars {
  readonly kind: 'bars';
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly (readonly [name: string, value: number])[];
}

export type Plot = Lines | Bars;

export type Figures = Readonly<Record<string, Figure>>;

/** Reports progress to a waiting person. */
export type Progress = (what: string) => void;

export interface Rounds {
  /** Counted rounds. */
  readonly rounds: number;
  /** Warm-up rounds, for the compiler and the caches. Default: a tenth, at least 3. */
  readonly warmUp?: number;
  /** Calls of each work in one round. Default 1. */
  readonly calls?: number;
}

/** Runs every work in every round, and reverses the order each time. @returns ms per call, by work and round. */
export async function interleave<Name extends string>(
  works: Readonly<Record<Name, Work>>,
  { rounds, warmUp = Math.max(3, Math.ceil(rounds / 10)), calls = 1 }: Rounds,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(works) as Name[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  globalThis.gc?.();
  for (let round = -warmUp; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const started = performance.now();
      let own: number | undefined;
      for (let call = 0; call < calls; call += 1) {
        const pending = works[name]();
        const result = pending instanceof Promise ? await pending : pending;
        if (typeof result === 'number') own = (own ?? 0) + result;
      }
      if (round >= 0) times[name].push((own ?? performance.now() - started) / calls);
    }
  }
  return times;
}

/** The ratio of each round, `over / under`: its median and its quartiles. */
export function ratio(over: readonly number[], under: readonly number[]) {
  const ratios = over.map((time, round) => time / under[round]!);
  return { value: median(ratios), spread: quartiles(ratios) };
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export const quartiles = (values: readonly number[]): [number, number] => [
  quantile(values, 0.25),
  quantile(values, 0.75),
];

export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new TypeError('nothing was measured');
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return below + (above - below) * (at - Math.floor(at));
}

export function reached({ value, target }: Figure): boolean | undefined {
  if (!target) return undefined;
  return value <= (target.atMost ?? Infinity) && value >= (target.atLeast ?? -Infinity);
}
