// This daemon as one of a fleet: shows itself to the others, knows them, and calls them.

import { IdentityError } from '@palyra/identity';
import type { EndpointLists } from '@palyra/identity/values';
import type { FleetMember } from '@palyra/registry-sql/postgres';
import type { PeerAuthenticator } from '@palyra/rpc/transport';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { FleetPlace } from '../home/shared-database.ts';
import { toWireEndpoints } from '../listeners/node-service.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import { credentialNames, type DaemonCredential } from '../start/credential.ts';
import type { Run } from '../start/run.ts';
import type { Stores } from '../start/stores.ts';
import { FleetChannels } from './fleet-channels.ts';
import { fleetEndpoints, ownEndpoints, peerAddresses } from './fleet-endpoints.ts';
import { PeerConnections } from './peer-connections.ts';

export interface MembershipOptions {
  readonly stores: Stores;
  readonly credential: DaemonCredential;
  readonly listeners: OpenListeners;
  readonly version: string;
}

/** Answers to devices name the daemons that were there this long ago at most, ms. */
const memberAgeMs = 1_000;

export class Membership implements PeerAuthenticator {
  readonly #options: MembershipOptions;
  readonly #fleet: FleetPlace;
  readonly #run: Run;
  /** The channels of the other daemons. */
  readonly channels: FleetChannels;
  #others: readonly FleetMember[] = [];
  #readAtMs = Number.NEGATIVE_INFINITY;
  #told = '';
  /** @returns undefined for a daemon that has its registry alone. */
  static of(options: MembershipOptions, run: Run): Membership | undefined {
    const { fleet } = options.stores;
    return fleet && new Membership(options, fleet, run);
  }

  private constructor(options: MembershipOptions, fleet: FleetPlace, run: Run) {
    this.#options = options;
    this.#fleet = fleet;
    this.#run = run;
    const { credential, stores } = options;
    const peers = new PeerConnections({
      members: () => fleet.members(),
      known: () => {
        const { daemonId, trustDomain, trustBundle } = stores.identity;
        return { daemonId, trustDomain, trustBundle };
      },
      credential: () => credential.current,
    });
    run.undo(() => peers.close());
    this.channels = new FleetChannels({ id: fleet.id, table: fleet.channels, peers, onError: run.onError });
    // The others must know a certificate before they see it.
    credential.beforeFirstUse = () => this.#announce();
  }

  /** The endpoints for devices: those of this daemon, then those of the others. */
  async endpoints(): Promise<EndpointLists> {
    // While the database is away, the last ones.
    if (performance.now() - this.#readAtMs > memberAgeMs) await this.#readMembers().catch(() => {});
    const { stores, listeners } = this.#options;
    const others = this.#others.map(({ endpoints }) => endpoints);
    return fleetEndpoints(ownEndpoints(stores.config, listeners), others);
  }
  /**
   * Another daemon is one with a valid certificate of this authority that a row of `daemons` names.
   * @throws CALLER_NOT_ALLOWED, and the codes of `IdentityManager.authenticateDaemon`.
   */
  async authenticateDaemon(fingerprint: string): Promise<{ readonly id: string }> {
    await this.#options.stores.identity.authenticateDaemon(fingerprint);
    const members = await this.#fleet.members();
    const member = members.find(({ certificates }) => certificates.includes(fingerprint));
    if (member) return member;
    throw new IdentityError('CALLER_NOT_ALLOWED', 'No daemon of this fleet has this certificate.');
  }

  /** Shows this daemon to the others, learns of them, and compares the channels here with those that the fleet knows. */
  async look(channels: DeviceChannels): Promise<void> {
    await this.#announce();
    await this.#readMembers();
    await channels.settle(await this.#fleet.channels.own());
    const endpoints = await this.endpoints();
    const told = JSON.stringify(endpoints);
    if (told !== this.#told) channels.tell(toWireEndpoints(endpoints));
    this.#told = told;
  }

  async #readMembers(): Promise<void> {
    const { identity } = this.#options.stores;
    const { id: own } = this.#fleet;
    const members = await this.#fleet.members();
    this.#readAtMs = performance.now();
    for (const { names } of members) identity.reserveNames(names);
    const others = members.filter(({ id, isAlive }) => isAlive && id !== own);
    // Each daemon names another one first, so that the devices of one that was lost spread over the others.
    this.#others = [...others.filter(({ id }) => id > own), ...others.filter(({ id }) => id < own)];
  }
  async #announce(): Promise<void> {
    const { stores, credential, listeners, version } = this.#options;
    const { config } = stores;
    await this.#fleet.announce({
      version,
      endpoints: ownEndpoints(config, listeners),
      peerAddresses: peerAddresses(config, listeners),
      certificates: credential.fingerprints,
      connections: listeners.connections,
      names: credentialNames(config),
      startedAt: this.#run.startedAt,
    });
  }
}
