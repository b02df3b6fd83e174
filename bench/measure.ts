// How everything here is measured: what is compared runs in turns, in short rounds within one process, and a figure is
// the median over the rounds. What else the machine does then disturbs both sides alike, or one round of many.

/** One call of what is measured. Where it answers with a number, it has measured itself, ms. */
export type Work = () => unknown;

export interface Target {
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Figure {
  readonly value: number;
  readonly unit: 'ratio' | 'ms' | 'MiB' | 'KiB' | 'calls';
  readonly meaning: string;
  readonly target?: Target;
  /** First and third quartile over the rounds. */
  readonly spread?: readonly [number, number];
  /** Where the time goes, said when the target is missed. */
  readonly whenMissed?: string;
  /** What the value was made of, by name and unit. */
  readonly parts: Readonly<Record<string, number>>;
}

export type Figures = Readonly<Record<string, Figure>>;

/** Told what is going on, for a person who waits. */
export type Progress = (what: string) => void;

export interface Rounds {
  /** Counted rounds. */
  readonly rounds: number;
  /** Rounds before them, for the compiler and the caches. Default: a tenth, at least 3. */
  readonly warmUp?: number;
  /** Calls of each work in one round. Default 1. */
  readonly calls?: number;
}

/** Runs every work in every round, in an order that turns round each time. Returns ms per call, by work and round. */
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
