// Tests with many random rounds, or with many variants of one kind. `npm test` plays a tenth of the rounds and one variant of each
// kind; `npm run soak` plays all, or a given number of rounds. Both print the seed of their random numbers: --seed=N repeats a run.

import { randomInt } from 'node:crypto';
import { relative } from 'node:path';
import process from 'node:process';
import { type TestContext, test } from 'node:test';
import { Random } from './random.ts';

export interface Rounds {
  readonly count: number;
  /** Share of a full soak; 1 means all rounds. */
  readonly share: number;
  readonly random: Random;
  readonly seed: number;
}

export interface SoakOptions {
  /** Rounds of a soak. */
  readonly rounds: number;
  /** Rounds of `npm test`. Default: a tenth. */
  readonly tested?: number;
  readonly skip?: string | false;
}

/** Set by `npm run soak`: a number of rounds, or empty for the test's own number. */
const told = process.env.PALYRA_SOAK_ROUNDS;
const givenSeed = process.env.PALYRA_SEED;

/** @returns all variants in `npm run soak`; in `npm test` those that `represents` chooses, of which there is at least one. */
export function variants<T>(all: readonly T[], represents: (each: T) => boolean): readonly T[] {
  if (told !== undefined) return all;
  const chosen = all.filter(represents);
  if (chosen.length === 0) throw new TypeError('no variant is left for npm test');
  return chosen;
}

/** @param name describes each round and the condition that holds after it. */
export function soakTest(
  name: string,
  { rounds, tested = Math.ceil(rounds / 10), skip = false }: SoakOptions,
  play: (t: TestContext, rounds: Rounds) => Promise<void>,
): void {
  const source = sourceOf(process.argv[1] ?? '');
  const count = told === undefined ? tested : told === '' ? rounds : Number(told);
  test(name, { skip }, async (t) => {
    const seed = givenSeed === undefined ? randomInt(2 ** 32) : Number(givenSeed);
    t.diagnostic(`${count} rounds, seed ${seed}`);
    try {
      await play(t, { count, share: count / rounds, random: new Random(seed), seed });
    } catch (cause) {
      const again = `npm run soak -- --rounds=${count} --seed=${seed} ${relative('', source)}`;
      throw new Error(`To draw the same again: ${again}`, { cause });
    }
  });
}

/** @returns the test file of its build (scripts/test/build-tests.ts), or the file itself. */
function sourceOf(program: string): string {
  const folder = process.env.PALYRA_TEST_BUILT;
  if (folder === undefined || !program.startsWith(folder)) return program;
  return relative(folder, program).replace(/\.js$/, '.ts');
}
