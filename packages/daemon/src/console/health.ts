// Samples the daemon's counters, so that the console can draw the last hour.

import type { DaemonMetrics } from '../metrics/metrics.ts';

export interface HealthSeries {
  readonly name: string;
  readonly title: string;
  readonly counter: boolean;
  readonly values: readonly number[];
}

/** Metric names and labels, which are added up, with the title for people. */
const shown: readonly {
  readonly of: readonly string[];
  readonly title: string;
  readonly counter?: true;
}[] = [
  { of: ['palyra_connections{node}'], title: 'Device connections, HTTP/2' },
  { of: ['palyra_connections{quic}'], title: 'Device connections, QUIC' },
  { of: ['palyra_connections{web}'], title: 'Connections through the web' },
  { of: ['palyra_connections{pairing}'], title: 'Pairing connections' },
  { of: ['palyra_registry{devices}'], title: 'Devices ever paired' },
  { of: ['palyra_registry{pending_requests}'], title: 'Requests waiting' },
  { of: ['palyra_registry{waiting_codes}'], title: 'Codes waiting' },
  { of: byDevices('accepted'), title: 'Device connections accepted', counter: true },
  { of: byDevices('refused_standing'), title: 'Refused: revoked or expired', counter: true },
  { of: byDevices('refused_foreign_certificate'), title: 'Refused: foreign certificate', counter: true },
  { of: byDevices('refused_no_certificate'), title: 'Refused: no certificate', counter: true },
  { of: byDevices('refused_limit'), title: 'Refused: too many devices', counter: true },
  {
    of: ['palyra_listener_events_total{pairing,refused_limit}'],
    title: 'Refused: too many to pair',
    counter: true,
  },
  { of: ['palyra_pairing_rate_limited_total'], title: 'Pairing attempts over the rate limit', counter: true },
  { of: ['palyra_console_failed_logins'], title: 'Failed console logins', counter: true },
  { of: ['process_resident_memory_bytes'], title: 'Memory' },
];

/** Of every listener that devices reach. */
function byDevices(event: string): readonly string[] {
  return ['node', 'quic', 'web'].map((listener) => `palyra_listener_events_total{${listener},${event}}`);
}

const names = shown.flatMap(({ of }) => of.map((name) => name.replace(/\{.*/, '')));

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
      series: shown.map(({ of: [name = ''], title, counter }, place) => ({
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
    const values = shown.map(({ of }) => of.reduce((sum, name) => sum + (numbers.get(name) ?? 0), 0));
    return { atMs: Date.now(), values };
  }
}
