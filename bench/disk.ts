// disk.*: what a slow disk does to everybody who does not wait for it.

import { onBadDisk, skipBadDisk } from '../tests/testing/bad-disk.ts';
import { callSteadily, FleetProcess, type Live, renewAll } from './fleet.ts';
import { type Figures, interleave, median, type Progress, quantile, ratio } from './measure.ts';

const syncMs = 30;
/** They renew once in each round, one after another: 100 in a second. */
const devices = 100;
const renewalEveryMs = 10;
/** Other devices, which call. */
const callers = 8;
const callEveryMs = 10;
// A device gets no more than 20 certificates in ten minutes.
const rounds = { rounds: 14, warmUp: 3 };

export async function disk(progress: Progress): Promise<Figures> {
  if (skipBadDisk) {
    progress(skipBadDisk);
    return {};
  }
  progress(`two daemons with ${devices} devices, one on a disk that takes ${syncMs} ms to sync`);
  await using slow = await Side.start(onBadDisk({ syncMs }));
  await using fast = await Side.start(onBadDisk({ syncMs: 0 }));
  progress('calls beside 100 renewals a second');
  const p99 = await interleave({ slow: () => slow.round(), fast: () => fast.round() }, rounds);
  const counted = rounds.rounds;
  const [slowCalls, fastCalls] = [slow.calls.slice(-counted).flat(), fast.calls.slice(-counted).flat()];
  return {
    'disk.call_p99_ratio': {
      ...ratio(p99.slow, p99.fast),
      target: { atMost: 2 },
      unit: 'ratio',
      meaning:
        `p99 of calls beside 100 renewals a second with a disk that takes ${syncMs} ms more for each sync, over the same with ` +
        'the disk of this machine. A call counts from the time at which it was due.',
      parts: {
        slow_p99_ms: median(p99.slow),
        fast_p99_ms: median(p99.fast),
        slow_p50_ms: quantile(slowCalls, 0.5),
        fast_p50_ms: quantile(fastCalls, 0.5),
        slow_slowest_ms: quantile(slowCalls, 1),
        fast_slowest_ms: quantile(fastCalls, 1),
        slow_renewal_p50_ms: quantile(slow.renewals, 0.5),
        fast_renewal_p50_ms: quantile(fast.renewals, 0.5),
        slow_renewal_p99_ms: quantile(slow.renewals, 0.99),
        fast_renewal_p99_ms: quantile(fast.renewals, 0.99),
      },
    },
  };
}

/** A daemon on one of the disks, and its devices. */
class Side {
  readonly #process: FleetProcess;
  readonly #renewing: readonly Live[];
  readonly #calling: readonly Live[];
  /** Latencies of the calls of each round, ms. */
  readonly calls: number[][] = [];
  readonly renewals: number[] = [];

  static async start(env: NodeJS.ProcessEnv): Promise<Side> {
    const process = await FleetProcess.start(devices + callers, env);
    return new Side(process, await process.dialAll());
  }

  private constructor(process: FleetProcess, fleet: readonly Live[]) {
    this.#process = process;
    this.#renewing = fleet.slice(callers);
    this.#calling = fleet.slice(0, callers);
  }

  /** @returns the p99 of its calls, ms. */
  async round(): Promise<number> {
    let endCalls: (() => Promise<number[]>) | undefined;
    const onBegin = () => {
      endCalls = callSteadily(this.#calling, callEveryMs);
    };
    const when = (_: Live, index: number) => index * renewalEveryMs;
    const { latenciesMs } = await renewAll(this.#renewing, when, { process: this.#process, onBegin });
    for (const each of latenciesMs) this.renewals.push(each);
    const latencies = (await endCalls?.()) ?? [];
    this.calls.push(latencies);
    return quantile(latencies, 0.99);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { close } of [...this.#renewing, ...this.#calling]) close();
    await this.#process[Symbol.asyncDispose]();
  }
}
