// All numbers of the daemon, for Prometheus and for the console's charts. Each subject has a file of its own.

import type { RegistryEvent } from '@palyra/identity/registry';
import type { CallObserver, ListenerEvent } from '@palyra/rpc/transport';
import type { QuicTraffic } from '@palyra/transport-quic';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type AuthorityFacts, addAuthorityMetrics } from './authority-metrics.ts';
import { type BackupFacts, BackupMetrics } from './backup-metrics.ts';
import { observeCalls } from './call-metrics.ts';
import { addDatabaseMetrics, type DatabaseFacts } from './database-metrics.ts';
import { type FleetFacts, FleetMetrics } from './fleet-metrics.ts';
import { NoticeMetrics } from './notice-metrics.ts';
import { PairingMetrics } from './pairing-metrics.ts';
import { addStoreMetrics, type StoreFacts } from './store-metrics.ts';

export interface LiveNumbers {
  /** The daemon's version. */
  readonly version: string;
  /** Current connections by listener. */
  readonly connections: () => Readonly<Record<string, number>>;
  /** Pairing attempts refused by the rate limit. */
  readonly rateLimited: () => number;
  readonly quicTraffic: () => QuicTraffic;
  readonly authority: AuthorityFacts;
  readonly fleet: FleetFacts;
  readonly store: StoreFacts;
  /** Undefined for a registry in a file. */
  readonly shared: DatabaseFacts | undefined;
  /** Undefined without scheduled backups. */
  readonly backups: BackupFacts | undefined;
}

export class DaemonMetrics {
  readonly #registry = new Registry();
  readonly #listenerEvents = new Counter({
    name: 'palyra_listener_events_total',
    help: 'Connections accepted, refused and broken, by listener and event',
    labelNames: ['listener', 'event'],
    registers: [this.#registry],
  });
  readonly #registryEvents = new Counter({
    name: 'palyra_registry_events_total',
    help: 'Changes of the registry, by type',
    labelNames: ['type'],
    registers: [this.#registry],
  });
  readonly #fleet: FleetMetrics;
  readonly #pairing: PairingMetrics;
  readonly notices: NoticeMetrics;
  readonly backups: BackupMetrics | undefined;
  /** Counts and times every call of a listener. */
  readonly observe: CallObserver;

  constructor(live: LiveNumbers) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    // Gauges with the name of a counter. The gauges without `_total`, by type, say the same.
    for (const what of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`nodejs_active_${what}_total`);
    const database = live.shared?.database;
    addAuthorityMetrics(this.#registry, live.authority, database);
    addStoreMetrics(this.#registry, live.store, database);
    if (live.shared) addDatabaseMetrics(this.#registry, live.shared);
    this.#fleet = new FleetMetrics(this.#registry, live.fleet, database);
    this.#pairing = new PairingMetrics(this.#registry, live);
    this.backups = live.backups && new BackupMetrics(this.#registry, live.backups);
    this.notices = new NoticeMetrics(this.#registry);
    this.observe = observeCalls(this.#registry);
    new Gauge({
      name: 'palyra_build_info',
      help: 'Always 1; the version is in the label',
      labelNames: ['version', 'node'],
      registers,
    }).set({ version: live.version, node: process.versions.node }, 1);
    new Gauge({
      name: 'palyra_connections',
      help: 'Connections now, by listener',
      labelNames: ['listener'],
      registers,
      collect() {
        for (const [listener, count] of Object.entries(live.connections())) this.set({ listener }, count);
      },
    });
    new Counter({
      name: 'palyra_quic_received_total',
      help: 'Datagrams over QUIC since the start, and handshakes begun by clients whose address was validated',
      labelNames: ['what'],
      registers,
      collect() {
        const { datagrams, handshakes } = live.quicTraffic();
        this.reset();
        this.inc({ what: 'datagrams' }, datagrams);
        this.inc({ what: 'handshakes' }, handshakes);
      },
    });
  }

  countListener(listener: string, event: ListenerEvent): void {
    this.#listenerEvents.inc({ listener, event });
  }

  countRegistry(event: RegistryEvent): void {
    this.#registryEvents.inc({ type: event.type });
    this.#fleet.take(event);
    this.#pairing.take(event);
  }

  /** Current values of these metrics, as `name{label,label}`, or `name` without labels. */
  async numbers(names: Iterable<string>): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    for (const name of new Set(names)) {
      const metric = await this.#registry.getSingleMetric(name)?.get();
      for (const { labels, value } of metric?.values ?? []) {
        const of = Object.values(labels).join();
        numbers.set(of ? `${name}{${of}}` : name, value);
      }
    }
    return numbers;
  }

  /** Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
