// The daemons of a fleet as they describe themselves to each other, and what each did for all.

import { daemonGoneMs } from './channels.ts';
import type { FleetEvent } from './event-body.ts';
import type { DaemonsTable } from './tables.ts';

/** What a daemon writes about itself with every sign of life. */
export interface MemberNow {
  readonly id: string;
  readonly version: string;
  /** Where devices reach it: host:port, or URLs for `web`. */
  readonly endpoints: MemberEndpoints;
  /** Where other daemons reach its node listener, host:port. */
  readonly peerAddresses: readonly string[];
  /** Fingerprints of the certificates that it shows. */
  readonly certificates: readonly string[];
  /** The names of its certificate, which no device may have. */
  readonly names: readonly string[];
  /** Open connections by listener. */
  readonly connections: Readonly<Record<string, number>>;
  /** The last round trip to the database, ms. */
  readonly databaseMs: number;
  readonly startedAt: Date;
}

export interface MemberEndpoints {
  readonly pairing: readonly string[];
  readonly node: readonly string[];
  readonly quic: readonly string[];
  readonly web: readonly string[];
}

/** A daemon of the fleet. */
export interface FleetMember extends MemberNow {
  readonly seenAt: Date;
  /** Whether it has given a sign of life lately. */
  readonly isAlive: boolean;
}

/** Work that one daemon does for all. */
export type DueWorkName = 'authorities' | 'expiries' | 'revocation lists';

export interface DueWork {
  readonly what: DueWorkName;
  readonly daemon: string;
  readonly at: Date;
}

/** The work of which these events are the result. */
export function workIn(events: readonly FleetEvent[]): ReadonlySet<DueWorkName> {
  const found = new Set<DueWorkName>();
  for (const event of events) {
    if (event.type === 'authorities_changed') found.add('authorities');
    if (event.type === 'pairing_changed' && event.pairing.state === 'expired') found.add('expiries');
  }
  return found;
}

export function memberRow(member: MemberNow): Omit<DaemonsTable, 'seen_at'> {
  const { id, version, names, startedAt, endpoints, peerAddresses, certificates } = member;
  const { connections, databaseMs } = member;
  return {
    id,
    version,
    endpoints: JSON.stringify(Object.values(endpoints).flat()),
    names: JSON.stringify(names),
    started_at: startedAt.getTime(),
    about: JSON.stringify({ endpoints, peerAddresses, certificates, connections, databaseMs }),
  };
}

/** A daemon of another version may leave something out. */
export function memberOf(row: DaemonsTable & { readonly silent: number }): FleetMember {
  const about = JSON.parse(row.about) as Partial<MemberNow>;
  return {
    id: row.id,
    version: row.version,
    endpoints: { pairing: [], node: [], quic: [], web: [], ...about.endpoints },
    peerAddresses: about.peerAddresses ?? [],
    certificates: about.certificates ?? [],
    names: JSON.parse(row.names),
    connections: about.connections ?? {},
    databaseMs: about.databaseMs ?? 0,
    startedAt: new Date(row.started_at),
    seenAt: new Date(row.seen_at),
    isAlive: row.silent < daemonGoneMs,
  };
}
