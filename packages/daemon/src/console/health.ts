// Samples the daemon's counters, so that the console can draw the last hour.

import type { DaemonMetrics } from '../metrics/metrics.ts';

export interface HealthSeries {
  readonly name: string;
  readonly title: string;
  readonly counter: boolean;
  readonly values: readonly number[];
}

/** Metric names and labels, with their titles for people. */
const shown: readonly { readonly name: string; readonly title: string; readonly counter?: true }[] = [
  { name: 'palyra_connections{node}', title: 'Device connections' },
  { name: 'palyra_connections{pairing}', title: 'Pairing connections' },
  { name: 'palyra_registry{devices}', title: 'Devices ever paired' },
  { name: 'palyra_registry{pending_requests}', title: 'Requests waiting' },
  { name: 'palyra_registry{waiting_codes}', title: 'Codes waiting' },
  {
    name: 'palyra_listener_events_total{node,accepted}',
    title: 'Device connections accepted',
    counter: true,
  },
  {
    name: 'palyra_listener_events_total{node,refused_standing}',
    title: 'Refused: revoked or expired',
    counter: true,
  },
  {
    name: 'palyra_listener_events_total{node,refused_foreign_certificate}',
    title: 'Refused: foreign certificate',
    counter: true,
  },
  {
    name: 'palyra_listener_events_total{node,refused_no_certificate}',
    title: 'Refused: no certificate',
    counter: true,
  },
  {
    name: 'palyra_listener_events_total{node,refused_limit}',
    title: 'Refused: too many devices',
    counter: true,
  },
  {
    name: 'palyra_listener_events_total{pairing,refused_limit}',
    title: 'Refused: too many to pair',
    counter: true,
  },
  { name: 'palyra_pairing_rate_limited_total', title: 'Pairing attempts over the rate limit', counter: true },
  { name: 'palyra_console_failed_logins', title: 'Failed console logins', counter: true },
  { name: 'process_resident_memory_bytes', title: 'Memory' },
];

const names = shown.map(({ name }) => name.replace(/\{.*/, ''));

interface Sample {
  readonly atMs: number;
  readonly values: readonly number[];
}

const sampleMs = 10_000;
const samples = 360;

export class HealthHistory {
  readonly #read: () => Promise<ReadonlyMap<string, number>>;
  readonly #rows: Sample[] = [];
  readonly #timer: NodeJS.Timeout;

  /** @param onError called if the registry cannot be read; that sample is missing. */
  constructor(
    metrics: DaemonMetrics,
    extra: () => Readonly<Record<string, number>>,
    onError: (error: unknown) => void,
  ) {
    this.#read = async () => new Map([...(await metrics.numbers(names)), ...Object.entries(extra())]);
    this.#timer = setInterval(() => this.#keep().catch(onError), sampleMs);
    this.#timer.unref();
  }

  /** The samples of the last hour, and the present values. */
  async history(): Promise<{ readonly atMs: bigint[]; readonly series: HealthSeries[] }> {
    const rows = [...this.#rows, await this.#sample()];
    return {
      atMs: rows.map(({ atMs }) => BigInt(atMs)),
      series: shown.map(({ name, title, counter }, place) => ({
        name,
        title,
        counter: counter ?? false,
        values: rows.map(({ values }) => values[place]!),
      })),
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #keep(): Promise<void> {
    this.#rows.push(await this.#sample());
    if (this.#rows.length > samples) this.#rows.shift();
  }

  async #sample(): Promise<Sample> {
    const numbers = await this.#read();
    return { atMs: Date.now(), values: shown.map(({ name }) => numbers.get(name) ?? 0) };
  }
}
