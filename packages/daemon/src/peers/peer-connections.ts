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
  readonly connection: Promise<Connection>;
  /** Running, or waiting for the connection. */
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
  #isClosed = false;

  constructor(options: PeerConnectionsOptions) {
    this.#options = options;
  }

  /**
   * @param daemon its id in the fleet.
   * @throws UNREACHABLE if it cannot be reached, and the errors of `call`.
   */
  async use<T>(daemon: string, call: (transport: Connection['transport']) => Promise<T>): Promise<T> {
    const lane = this.#laneTo(daemon);
    lane.calls += 1;
    try {
      const { transport } = await lane.connection;
      return await call(transport);
    } finally {
      lane.calls -= 1;
    }
  }

  close(): void {
    this.#isClosed = true;
    // Connections that are being dialled end themselves.
    for (const lanes of this.#lanes.values())
      for (const { connection } of lanes)
        connection.then(
          (opened) => opened.close(),
          () => {},
        );
  }

  /** Without a wait, so that calls that come together are spread too. */
  #laneTo(daemon: string): Lane {
    const lanes = this.#lanes.get(daemon) ?? new Set();
    this.#lanes.set(daemon, lanes);
    const [least] = [...lanes].sort((one, other) => one.calls - other.calls);
    if (least && (least.calls < callsPerConnection || lanes.size >= maxConnections)) return least;
    const lane = { connection: this.#dial(daemon), calls: 0 };
    lanes.add(lane);
    const forget = () => lanes.delete(lane);
    lane.connection.then(({ closed }) => void closed.then(forget), forget);
    return lane;
  }

  async #dial(daemon: string): Promise<Connection> {
    const member = (await this.#options.members()).find(({ id }) => id === daemon);
    if (!member) throw unreachable(daemon);
    const connection = await withinPatience(daemon, this.#reach(member));
    if (!this.#isClosed) return connection;
    connection.destroy();
    throw unreachable(daemon);
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
