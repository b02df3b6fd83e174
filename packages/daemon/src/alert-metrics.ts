// Further metrics for alerts: when the authority's certificates expire, and which build is running.

import type { AuthorityRecord } from '@palyra/identity/registry';
import { Gauge, type Registry } from 'prom-client';

export interface AlertFacts {
  readonly authorities: () => Promise<readonly Pick<AuthorityRecord, 'tier' | 'state' | 'notAfter'>[]>;
  readonly version: string;
}

/** Adds these gauges to the registry of the metrics. docs/alerts.yml has the alert rules. */
export function addAlertMetrics(registry: Registry, { authorities, version }: AlertFacts): void {
  const registers = [registry];
  new Gauge({
    name: 'palyra_authority_end_timestamp_seconds',
    help: 'When the certificate of the signing root and of the signing issuing CA ends, in seconds since 1970',
    labelNames: ['tier'],
    registers,
    async collect() {
      this.reset();
      for (const { tier, state, notAfter } of await authorities())
        if (state === 'active') this.set({ tier }, notAfter.getTime() / 1000);
    },
  });
  new Gauge({
    name: 'palyra_build_info',
    help: 'Always 1; the version is in the label',
    labelNames: ['version'],
    registers,
    collect() {
      this.set({ version }, 1);
    },
  });
}
