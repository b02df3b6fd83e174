// The connections to the other daemons of the fleet, over mutual TLS with the daemons' certificates. Opened by the first call,
// and kept. A daemon works on a limited number of calls of one connection at a time, so more calls open more connections.

import { IdentityError, type IdentityManager, type ServerCredential } from '@palyra/identity';
import type { FleetMember } from '@palyra/registry-sql/postgres';
import { inOrder } from '@palyra/rpc/portable';
import { dialPeer } from '@palyra/rpc/transport';

/** Below `streamsPerSession` of the listener, so that no call waits behind others. */
const callsPerConnection = 90;
const maxConnections = 16;
/** Time to connect to a daemon, ms. */
const patienceMs = 3_000;

type Connection = Awaited<ReturnType<typeof dialPeer>>;

interface Lane {
  readonly connection: Connection;
  calls: number;
}

export interface PeerConnectionsOptions {
  readonly members: () => Promise<readonly FleetMember[]>;
  readonly known: () => Pick<IdentityManager, 'daemonId' | 'trustDomain' | 'trustBundle'>;
  readonly credential: () => ServerCredential;
}

export class PeerConnections {
  readonly #options: PeerConnectionsOptions;
  readonly #lanes = new Map<string, Set<Lane>>();
  readonly #dialling = new Map<string, Promise<Lane>>();
  #isClosed = false;

  constructor(options: PeerConnectionsOptions) {
    this.#options = options;
  }

  /**
   * @param daemon its id in the fleet.
   * @throws UNREACHABLE if it cannot be reached, and the errors of `call`.
   */
  async use<T>(daemon: string, call: (transport: Connection['transport']) => Promise<T>): Promise<T> {
    const lane = await this.#laneTo(daemon);
    lane.calls += 1;
    try {
      return await call(lane.connection.transport);
    } finally {
      lane.calls -= 1;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const lanes of this.#lanes.values()) for (const { connection } of lanes) connection.close();
  }

  async #laneTo(daemon: string): Promise<Lane> {
    const lanes = [...(this.#lanes.get(daemon) ?? [])].sort((one, other) => one.calls - other.calls);
    const [least] = lanes;
    if (least && (least.calls < callsPerConnection || lanes.length >= maxConnections)) return least;
    let dialling = this.#dialling.get(daemon);
    if (!dialling) {
      dialling = this.#dial(daemon).finally(() => this.#dialling.delete(daemon));
      this.#dialling.set(daemon, dialling);
    }
    return dialling;
  }

  async #dial(daemon: string): Promise<Lane> {
    const member = (await this.#options.members()).find(({ id }) => id === daemon);
    if (!member) throw unreachable(daemon);
    const connection = await withinPatience(daemon, this.#reach(member));
    if (this.#isClosed) {
      connection.destroy();
      throw unreachable(daemon);
    }
    const lane = { connection, calls: 0 };
    const lanes = this.#lanes.get(daemon) ?? new Set();
    this.#lanes.set(daemon, lanes.add(lane));
    void connection.closed.then(() => lanes.delete(lane));
    return lane;
  }

  #reach({ peerAddresses, certificates }: FleetMember): Promise<Connection> {
    const { known, credential } = this.#options;
    return inOrder(peerAddresses, (address) =>
      dialPeer(address, { known: known(), fingerprints: certificates, credential: credential() }),
    );
  }
}

async function withinPatience(daemon: string, dialled: Promise<Connection>): Promise<Connection> {
  const late = Promise.withResolvers<never>();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    late.reject(unreachable(daemon));
  }, patienceMs);
  dialled.then(
    (connection) => isLate && connection.destroy(),
    () => {},
  );
  try {
    return await Promise.race([dialled, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function unreachable(daemon: string): IdentityError {
  return new IdentityError('UNREACHABLE', `The daemon ${daemon} of the fleet does not answer.`);
}
