// Which daemon of a fleet has the channel of a device. Every daemon writes its own channels, in batches; a channel of another
// daemon is replaced only by naming it, so of two daemons that replace the same one, one does.

import { type ChannelStatements, channelStatements } from './channel-statements.ts';
import type { Link } from './link.ts';
import type { Readers } from './readers.ts';

/** A daemon without a sign of life for this time counts as gone, ms. Three signs may be missed. */
export const daemonGoneMs = 60_000;
/** Ended channels are kept for those who watch, ms. */
const endedKeptMs = 3_600_000;
/** Most channels in one statement. */
const together = 500;
/** Commits may become visible in another order than their times, ms. */
const overlapMs = 2_000;

export interface ChannelClaim {
  readonly deviceId: string;
  /** Identifies this channel, and no earlier or later one. */
  readonly claim: string;
  /** The claim of another daemon that this one may replace. */
  readonly replaces?: string;
  readonly agent: string;
  readonly facts: string;
}

export interface ChannelPlace {
  readonly deviceId: string;
  readonly daemon: string;
  readonly claim: string;
  readonly agent: string;
  readonly facts: string;
  /** Whether its daemon has given a sign of life lately. */
  readonly isAlive: boolean;
}

interface Waiting {
  readonly claim: ChannelClaim;
  readonly resolve: (isMade: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export class PostgresChannels {
  readonly #daemon: string;
  readonly #readers: Readers;
  readonly #link: Link;
  readonly #statements: ChannelStatements = channelStatements();
  #claims: Waiting[] = [];
  #releases: { readonly deviceId: string; readonly claim: string }[] = [];
  #working: Promise<void> | undefined;

  /** @param daemon this one. */
  constructor(daemon: string, readers: Readers, link: Link) {
    this.#daemon = daemon;
    this.#readers = readers;
    this.#link = link;
  }

  /** @returns whether this daemon has the channel now. False: another daemon has one that the claim does not name. */
  claim(claim: ChannelClaim): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#claims.push({ claim, resolve, reject });
      this.#work();
    });
  }

  /** The channel has ended. If this cannot be written, the daemon finds it at its next look. */
  release(deviceId: string, claim: string): void {
    this.#releases.push({ deviceId, claim });
    this.#work();
  }

  async find(devices: readonly string[]): Promise<ChannelPlace[]> {
    if (devices.length === 0) return [];
    const rows = await this.#readers.all(this.#statements.find({ devices }));
    return rows.map(({ device_id: deviceId, silent, ...row }) => ({
      ...row,
      deviceId,
      isAlive: silent !== null && silent < daemonGoneMs,
    }));
  }

  /** How many channels each daemon has. */
  async counts(): Promise<ReadonlyMap<string, number>> {
    const rows = await this.#readers.all(this.#statements.count({}));
    return new Map(rows.map(({ daemon, count }) => [daemon, count]));
  }

  /** @returns a function that tells which devices have gained or lost a channel since its last call. */
  async watch(): Promise<() => Promise<string[]>> {
    const [row] = await this.#readers.all(this.#statements.now({}));
    let at = (row?.now ?? 0) - overlapMs;
    let told = new Map<string, number>();
    return async () => {
      const rows = await this.#readers.all(this.#statements.changedAfter({ at, limit: together }));
      const changed = rows.filter((each) => told.get(each.device_id) !== each.changed_at);
      const last = rows.at(-1)?.changed_at;
      if (last !== undefined && last - overlapMs > at) at = last - overlapMs;
      if (rows.length === together) at = Math.max(at, last ?? at);
      told = new Map(rows.map((each) => [each.device_id, each.changed_at]));
      return changed.map((each) => each.device_id);
    };
  }

  /** The claims that the database has for this daemon, by device. */
  async own(): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#readers.all(this.#statements.own({ daemon: this.#daemon }));
    return new Map(rows.map(({ device_id: id, claim }) => [id, claim]));
  }

  /** For the start: whatever this daemon had is over. */
  async begin(): Promise<void> {
    await (await this.#link.get()).run(this.#statements.endOwn({ daemon: this.#daemon }));
  }

  /** Ends the channels of daemons that are gone. */
  async tidy(): Promise<void> {
    const connection = await this.#link.get();
    await connection.run(this.#statements.endLeft({ ms: daemonGoneMs }));
    await connection.run(this.#statements.forgetEnded({ ms: endedKeptMs }));
  }

  /** Resolves when everything that waits is written. */
  async settled(): Promise<void> {
    await this.#working;
  }

  #work(): void {
    this.#working ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    // Channels of this turn of the event loop come together.
    await undefined;
    while (this.#claims.length + this.#releases.length > 0) {
      const releases = this.#releases.splice(0, together);
      const claims = this.#nextClaims();
      try {
        const connection = await this.#link.get();
        if (releases.length > 0)
          await connection.run(
            this.#statements.release({
              devices: releases.map(({ deviceId }) => deviceId),
              claims: releases.map(({ claim }) => claim),
            }),
          );
        if (claims.length === 0) continue;
        const each = claims.map(({ claim }) => claim);
        const made = await connection.all(
          this.#statements.claim({
            daemon: this.#daemon,
            devices: each.map(({ deviceId }) => deviceId),
            claims: each.map(({ claim }) => claim),
            replaces: each.map(({ replaces }) => replaces ?? ''),
            agents: each.map(({ agent }) => agent),
            facts: each.map(({ facts }) => facts),
          }),
        );
        const those = new Set(made.map(({ claim }) => claim));
        for (const { claim, resolve } of claims) resolve(those.has(claim.claim));
      } catch (error) {
        for (const { reject } of claims) reject(error);
      }
    }
    // In the same turn as the last look, so that nothing waits without a writer.
    this.#working = undefined;
  }

  /** One statement takes only one claim for each device. */
  #nextClaims(): Waiting[] {
    const devices = new Set<string>();
    const [now, later]: [Waiting[], Waiting[]] = [[], []];
    for (const each of this.#claims) {
      const fits = now.length < together && !devices.has(each.claim.deviceId);
      devices.add(each.claim.deviceId);
      (fits ? now : later).push(each);
    }
    this.#claims = later;
    return now;
  }
}
