// Devices: how many there are in each state, and which of them may have been copied.

import type { CloneSign, Device, RegistryEvent, RegistryReads } from '@palyra/identity/registry';
import { Counter, Gauge, type Registry } from 'prom-client';
import { type Database, whileReachable } from './while-reachable.ts';

export interface FleetFacts {
  readonly counts: RegistryReads['counts'];
  readonly deviceStates: RegistryReads['deviceStates'];
  /** Moves with every change of the registry. */
  readonly changes: () => number;
}

const states: Readonly<Record<Device['state'], true>> = {
  approved: true,
  active: true,
  quarantined: true,
  revoked: true,
};
const signs: Readonly<Record<CloneSign, true>> = {
  replaced_certificate: true,
  recovery: true,
  second_agent: true,
};

export class FleetMetrics {
  readonly #copies: Counter;

  constructor(
    registry: Registry,
    { counts, deviceStates, changes }: FleetFacts,
    database: Database | undefined,
  ) {
    const registers = [registry];
    new Gauge({
      name: 'palyra_registry',
      help: 'Devices ever paired, requests that wait for the operator, codes that wait for a device',
      labelNames: ['what'],
      registers,
      collect: whileReachable(database, async (gauge) => {
        const { devices, pendingRequests, waitingCodes } = await counts();
        gauge.set({ what: 'devices' }, devices);
        gauge.set({ what: 'pending_requests' }, pendingRequests);
        gauge.set({ what: 'waiting_codes' }, waitingCodes);
      }),
    });
    let counted: { readonly at: number; readonly states: ReadonlyMap<string, number> } | undefined;
    new Gauge({
      name: 'palyra_devices',
      help: 'Devices by state',
      labelNames: ['state'],
      registers,
      collect: whileReachable(database, async (gauge) => {
        // A count reads every device, so it is made once for each change.
        const at = changes();
        if (counted?.at !== at) counted = { at, states: await deviceStates() };
        for (const state of Object.keys(states) as Device['state'][])
          gauge.set({ state }, counted.states.get(state) ?? 0);
      }),
    });
    this.#copies = new Counter({
      name: 'palyra_copies_reported_total',
      help: 'Devices reported as possibly copied since the start, by sign',
      labelNames: ['sign'],
      registers,
    });
    for (const sign of Object.keys(signs)) this.#copies.inc({ sign }, 0);
  }

  take(event: RegistryEvent): void {
    if (event.type === 'clone_suspected') this.#copies.inc({ sign: event.sign });
  }
}
