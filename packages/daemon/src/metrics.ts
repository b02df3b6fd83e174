// The counters of the daemon, for Prometheus and for the operator's status.

import type { IdentityError, IdentityManager } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { ListenerEvent } from '@palyra/rpc/transport';
import type { QuicTraffic } from '@palyra/transport-quic';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { addAlertMetrics } from './alert-metrics.ts';
import { listenPlainHttp, type PlainHttp } from './listeners/plain-http.ts';

export interface LiveNumbers {
  /** The daemon's version. */
  readonly version: string;
  /** Current connections by listener. */
  readonly connections: () => Readonly<Record<string, number>>;
  /** Pairing attempts refused by the rate limit. */
  readonly rateLimited: () => number;
  readonly quicTraffic: () => QuicTraffic;
  /** The reason why the CA's key cannot sign; undefined if it can. */
  readonly keyProblem: () => Promise<IdentityError | undefined>;
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

  constructor(identity: IdentityManager, live: LiveNumbers) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    // Gauges with the name of a counter. The gauges without `_total`, by type, say the same.
    for (const what of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`nodejs_active_${what}_total`);
    addAlertMetrics(this.#registry, {
      authorities: () => identity.registry.authorities(),
      version: live.version,
    });
    new Gauge({
      name: 'palyra_connections',
      help: 'Connections now, by listener',
      labelNames: ['listener'],
      registers,
      collect() {
        for (const [listener, count] of Object.entries(live.connections())) this.set({ listener }, count);
      },
    });
    new Gauge({
      name: 'palyra_registry',
      help: 'Devices ever paired, requests that wait for the operator, codes that wait for a device',
      labelNames: ['what'],
      registers,
      async collect() {
        const counts = await identity.registry.counts();
        this.set({ what: 'devices' }, counts.devices);
        this.set({ what: 'pending_requests' }, counts.pendingRequests);
        this.set({ what: 'waiting_codes' }, counts.waitingCodes);
      },
    });
    new Counter({
      name: 'palyra_pairing_rate_limited_total',
      help: 'Pairing attempts refused by the rate limit since the start',
      registers,
      collect() {
        this.reset();
        this.inc(live.rateLimited());
      },
    });
    new Gauge({
      name: 'palyra_ca_key_signs',
      help: "1 while the CA's key signs certificates, 0 while it does not: its token is missing, locked or hanging",
      registers,
      async collect() {
        this.set((await live.keyProblem()) ? 0 : 1);
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
  }

  /** All current values, as `name{label,label}`, or `name` without labels. */
  async numbers(): Promise<Map<string, number>> {
    const numbers = new Map<string, number>();
    for (const metric of await this.#registry.getMetricsAsJSON()) {
      for (const { labels, value } of metric.values) {
        const of = Object.values(labels).join();
        numbers.set(of ? `${metric.name}{${of}}` : metric.name, value);
      }
    }
    return numbers;
  }

  /** Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

const maxConnections = 16;

/**
 * `GET /metrics`, `/healthz` and `/readyz` and nothing else, on a loopback address.
 * @param isReady whether the daemon does all that it is there for: `/readyz` is 503 while it does not.
 */
export function listenMetrics(
  at: { readonly host: string; readonly port: number },
  metrics: DaemonMetrics,
  isReady: () => Promise<boolean>,
  onError: (error: unknown, where: string) => void,
): Promise<PlainHttp> {
  const limits = { connections: maxConnections, strangersPerSource: maxConnections };
  return listenPlainHttp(at, limits, async (request, response) => {
    const { method, url } = request;
    if (method !== 'GET' || (url !== '/metrics' && url !== '/healthz' && url !== '/readyz')) {
      response.writeHead(404).end();
      return;
    }
    const say = (ok: boolean, text: string) =>
      response.writeHead(ok ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
    try {
      if (url === '/healthz') {
        say(true, 'ok\n');
        return;
      }
      if (url === '/readyz') {
        const ready = await isReady();
        say(ready, ready ? 'ready\n' : 'not ready\n');
        return;
      }
      const text = await metrics.text();
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text);
    } catch (error) {
      // If the registry cannot be read, the scrape fails, and the daemon is not ready.
      onError(error, `the answer to ${url}`);
      response.writeHead(503).end();
    }
  });
}
