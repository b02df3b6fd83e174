// The database that several daemons share, and these daemons.

import type { DueWork, FleetMember } from '@palyra/registry-sql/postgres';
import { Gauge, type Registry } from 'prom-client';
import { type Database, whileReachable } from './while-reachable.ts';

export interface DatabaseFacts {
  readonly database: Database;
  readonly members: () => Promise<readonly FleetMember[]>;
  readonly dueWork: () => Promise<readonly DueWork[]>;
}

export function addDatabaseMetrics(registry: Registry, { database, members, dueWork }: DatabaseFacts): void {
  const registers = [registry];
  new Gauge({
    name: 'palyra_database_up',
    help: '1 while this daemon reaches the database of its fleet, 0 while it does not, and metrics of the registry are absent',
    registers,
    collect() {
      this.set(database.isReachable ? 1 : 0);
    },
  });
  new Gauge({
    name: 'palyra_database_round_trip_seconds',
    help: 'The last round trip to the database',
    registers,
    collect() {
      this.set(database.databaseMs / 1000);
    },
  });
  new Gauge({
    name: 'palyra_fleet_daemon_up',
    help: '1 for each daemon of the fleet with a sign of life in the last minute, 0 for one without',
    labelNames: ['daemon', 'version'],
    registers,
    collect: whileReachable(database, async (gauge) => {
      const found = await members();
      gauge.reset();
      for (const { id, version, isAlive } of found) gauge.set({ daemon: id, version }, isAlive ? 1 : 0);
    }),
  });
  new Gauge({
    name: 'palyra_fleet_daemon_seen_timestamp_seconds',
    help: 'The last sign of life of each daemon of the fleet, by the clock of the database, in seconds since 1970',
    labelNames: ['daemon'],
    registers,
    collect: whileReachable(database, async (gauge) => {
      const found = await members();
      gauge.reset();
      for (const { id, seenAt } of found) gauge.set({ daemon: id }, seenAt.getTime() / 1000);
    }),
  });
  new Gauge({
    name: 'palyra_fleet_due_work_timestamp_seconds',
    help: 'When a daemon of the fleet last did work for all of them, and which one, in seconds since 1970',
    labelNames: ['what', 'daemon'],
    registers,
    collect: whileReachable(database, async (gauge) => {
      const found = await dueWork();
      gauge.reset();
      for (const { what, daemon, at } of found) gauge.set({ what, daemon }, at.getTime() / 1000);
    }),
  });
}
