// This daemon as one of a fleet: shows itself to the others, knows them, and calls them.

import { IdentityError } from '@palyra/identity';
import type { EndpointLists } from '@palyra/identity/values';
import type { FleetMember } from '@palyra/registry-sql/postgres';
import type { PeerAuthenticator } from '@palyra/rpc/transport';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { FleetPlace } from '../home/shared-database.ts';
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

export class Membership implements PeerAuthenticator {
  readonly #options: MembershipOptions;
  readonly #fleet: FleetPlace;
  readonly #run: Run;
  /** The channels of the other daemons. */
  readonly channels: FleetChannels;
  #others: readonly FleetMember[] = [];

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
  get endpoints(): EndpointLists {
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
    const { identity } = this.#options.stores;
    const members = await this.#fleet.members();
    for (const { names } of members) identity.reserveNames(names);
    this.#others = members.filter(({ id, isAlive }) => isAlive && id !== this.#fleet.id);
    await channels.settle(await this.#fleet.channels.own());
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
