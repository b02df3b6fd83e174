// fleet.*: several daemons that share one PostgreSQL on loopback, beside a daemon with SQLite.

import { setTimeout } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { MemorySecretStore } from '@palyra/identity';
import { DeviceIdentity, renewCertificate } from '@palyra/identity/device';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import type { FleetMember } from './fleet-server.ts';
import { type Figures, interleave, median, type Progress, ratio } from './measure.ts';
import { CountingRelay } from './postgres-relay.ts';
import { calls, dialBare, manyCalls } from './rpc.ts';
import { FleetDaemon, settingsFor, startPostgres } from './shared-fleet-daemon.ts';
import { fleetGrowth } from './shared-fleet-growth.ts';
import { fleetRevocations } from './shared-fleet-revocations.ts';

type Server = Awaited<ReturnType<typeof startPostgres>>;

/** Devices that renew at the same moment. */
const renewing = 300;
/** Operations of which the database's work is counted. */
const counted = 200;
/** A device keeps few unused certificates, so several take turns. */
const taking = 60;

type Measure = (progress: Progress) => Promise<Figures>;

/** Each measurement with a server of its own. */
const withServer =
  (what: string, measure: (server: Server) => Promise<Figures>): Measure =>
  async (progress) => {
    progress(what);
    const server = await startPostgres();
    try {
      return await measure(server);
    } finally {
      await server.stop();
    }
  };

const callsOverSqlite = withServer('calls of a daemon with PostgreSQL against one with SQLite', measureCalls);
const renewalsOverSqlite = withServer(
  'renewals of a daemon with PostgreSQL against one with SQLite',
  measureRenewals,
);
const work = withServer('what a call and a renewal ask of the database', databaseWork);
const revocations = withServer('1,000 revocations over three daemons (minutes)', async (server) =>
  fleetRevocations(settingsFor(await server.database())),
);

/** By the names of their figures. */
export const sharedFleet: Readonly<Record<string, Measure>> = {
  'fleet.call_overhead': callsOverSqlite,
  'fleet.renewals': renewalsOverSqlite,
  'fleet.call_round_trips': work,
  'fleet.renewal_round_trips': work,
  'fleet.accepted_after_acknowledgement': revocations,
  'fleet.idle_closed_ms_p99': revocations,
  'fleet.growth_1k_to_1m': withServer('a registry of 1,000,000 devices in PostgreSQL (minutes)', fleetGrowth),
};

async function measureCalls(server: Server): Promise<Figures> {
  await using shared = await FleetDaemon.start(1, settingsFor(await server.database()));
  await using alone = await FleetDaemon.start(1);
  const dial = ({ members, addresses }: FleetDaemon) => dialBare(addresses.node, members[0]!.enrollment);
  const [toShared, toAlone] = [dial(shared), dial(alone)];
  const times = await interleave(
    { shared: () => manyCalls(toShared), alone: () => manyCalls(toAlone) },
    { rounds: 40, warmUp: 15 },
  );
  for (const session of [...toShared, ...toAlone]) session.destroy();
  const perSecond = (ms: readonly number[]) => (calls * 1000) / median(ms);
  return {
    'fleet.call_overhead': {
      ...ratio(times.alone, times.shared),
      target: { atLeast: 0.8 },
      unit: 'ratio',
      meaning:
        'Calls of NodeService.Status per second on a daemon with PostgreSQL on loopback, over the same with SQLite, 64 in ' +
        'flight. Each waits for a read of the database that began after it arrived; one read serves all that wait.',
      whenMissed:
        'PostgreSQL, the daemon and the client share the processors of this machine, and SQLite asks nobody.',
      parts: {
        postgres_per_second: perSecond(times.shared),
        sqlite_per_second: perSecond(times.alone),
      },
    },
  };
}

async function measureRenewals(server: Server): Promise<Figures> {
  await using shared = await FleetDaemon.start(renewing, settingsFor(await server.database()));
  await using alone = await FleetDaemon.start(renewing);
  const [liveShared, liveAlone] = [await connectAll(shared), await connectAll(alone)];
  const times = await interleave(
    { shared: () => renewAll(liveShared), alone: () => renewAll(liveAlone) },
    { rounds: 5, warmUp: 1 },
  );
  for (const { connection } of [...liveShared, ...liveAlone]) connection.close();
  const perSecond = (ms: readonly number[]) => (renewing * 1000) / median(ms);
  return {
    'fleet.renewals': {
      ...ratio(times.alone, times.shared),
      unit: 'ratio',
      meaning: `Renewals per second with PostgreSQL over those with SQLite, when ${renewing} devices renew at the same moment.`,
      parts: { postgres_per_second: perSecond(times.shared), sqlite_per_second: perSecond(times.alone) },
    },
  };
}

interface Live {
  readonly connection: NodeConnection;
  renew(): Promise<unknown>;
}

async function connectAll({ members, addresses }: FleetDaemon): Promise<Live[]> {
  const live: Live[] = [];
  for (const member of members) live.push(await connect(member, addresses.node));
  return live;
}

async function connect({ identity, enrollment }: FleetMember, address: string): Promise<Live> {
  const secrets = new MemorySecretStore();
  await secrets.write(identity.name, identity.secret);
  const device = { identity: await DeviceIdentity.load(secrets, nodeCrypto), secrets, clock: systemClock };
  const connection = await dialNode(address, enrollment);
  const node = createClient(NodeService, connection.transport);
  // It does not use the new certificate, so the next renewal can follow.
  return { connection, renew: () => renewCertificate(device, enrollment, (proof) => node.renew(proof)) };
}

async function renewAll(live: readonly Live[]): Promise<void> {
  await Promise.all(live.map(({ renew }) => renew()));
}

/** One operation at a time, so that nothing is shared. */
async function databaseWork(server: Server): Promise<Figures> {
  const url = await server.database();
  const relay = await CountingRelay.listen(url);
  await using daemon = await FleetDaemon.start(taking, settingsFor(relay.url));
  const live = await connectAll(daemon);
  const node = createClient(NodeService, live[0]!.connection.transport);
  const call = await workOf(server, url, relay, () => node.status({}));
  let turn = 0;
  const renewal = await workOf(server, url, relay, () => {
    turn += 1;
    return live[turn % taking]!.renew();
  });
  for (const { connection } of live) connection.close();
  return {
    'fleet.call_round_trips': {
      value: call.roundTrips,
      unit: 'round trips',
      meaning:
        'What one call alone asks of the database; of many at the same time, all that wait share a round trip. Without ' +
        'what the daemon asks anyway (a poll every 250 ms).',
      parts: call.parts,
    },
    'fleet.renewal_round_trips': {
      value: renewal.roundTrips,
      unit: 'round trips',
      meaning: 'What one renewal alone asks of the database, with everything that it stores.',
      parts: renewal.parts,
    },
  };
}

interface DatabaseCounts {
  readonly statements: number;
  readonly rows: number;
  readonly walBytes: number;
}

async function workOf(server: Server, url: string, relay: CountingRelay, operation: () => Promise<unknown>) {
  for (let warmUp = 0; warmUp < 10; warmUp += 1) await operation();
  const busy = await countsDuring(server, url, relay, async () => {
    for (let done = 0; done < counted; done += 1) await operation();
  });
  const idle = await countsDuring(server, url, relay, () => setTimeout(busy.ms));
  const each = (name: keyof DatabaseCounts | 'roundTrips') => Math.max(0, busy[name] - idle[name]) / counted;
  return {
    roundTrips: each('roundTrips'),
    parts: { statements: each('statements'), rows: each('rows'), wal_bytes: each('walBytes') },
  };
}

async function countsDuring(server: Server, url: string, relay: CountingRelay, work: () => Promise<unknown>) {
  await server.sql(url, 'create extension if not exists pg_stat_statements');
  const counts = async () => {
    const [row = {}] = await server.sql(
      url,
      `select sum(calls) as statements, sum(rows) as rows, pg_current_wal_lsn() - '0/0' as wal from pg_stat_statements
         where dbid = (select oid from pg_database where datname = current_database())`,
    );
    return { statements: Number(row.statements), rows: Number(row.rows), walBytes: Number(row.wal) };
  };
  const before = await counts();
  relay.take();
  const startedAt = performance.now();
  await work();
  const ms = performance.now() - startedAt;
  const roundTrips = relay.take();
  const after = await counts();
  return {
    ms,
    roundTrips,
    statements: after.statements - before.statements,
    rows: after.rows - before.rows,
    walBytes: after.walBytes - before.walBytes,
  };
}
