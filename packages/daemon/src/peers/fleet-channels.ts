// The channels of the whole fleet: which daemon has which, and calls to those of other daemons.
//
//   device connects here ─> claim ─> made
//                             └ another daemon has the channel ─> it yields, or is gone ─> claim that names its claim
//                                                               └ another agent answers there ─> refused
//   call ─> no channel here ─> the daemon in `channels` ─> runs there
//                                └ gone, or the device has left it ─> look again, then DEVICE_NOT_CONNECTED

import { createClient } from '@connectrpc/connect';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import type { DeviceId } from '@palyra/identity/values';
import type { ChannelPlace, PostgresChannels } from '@palyra/registry-sql/postgres';
import { fromConnectError } from '@palyra/rpc';
import { PeerService } from '@palyra/rpc/transport';
import type { ExecuteRequest, ExecuteResult } from '../channels/calls.ts';
import { mayHaveRun, notConnected } from '../channels/device-channels.ts';
import { defaultChannelLimits } from '../channels/limits.ts';
import type { ClaimedChannel, OtherDaemons } from '../channels/other-daemons.ts';
import type { PeerConnections } from './peer-connections.ts';

/** Time for another daemon to yield a channel of the same agent, ms. */
const yieldMs = 2_000;
/** After the time of a call, for its daemon to say so, ms. */
const graceMs = 2_000;
/** How often a device that moves is followed. */
const maxTries = 3;

/** The other daemon refuses this one: nothing that the caller can change. */
const refusals: ReadonlySet<IdentityErrorCode> = new Set([
  'CALLER_NOT_ALLOWED',
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_SUPERSEDED',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_NOT_YET_VALID',
  'AUTHORITY_RETIRED',
]);

export class FleetChannels implements OtherDaemons {
  /** This daemon. */
  readonly #id: string;
  readonly #table: PostgresChannels;
  readonly #peers: PeerConnections;
  readonly #onError: (error: unknown, where: string) => void;

  constructor(options: {
    readonly id: string;
    readonly table: PostgresChannels;
    readonly peers: PeerConnections;
    readonly onError: (error: unknown, where: string) => void;
  }) {
    this.#id = options.id;
    this.#table = options.table;
    this.#peers = options.peers;
    this.#onError = options.onError;
  }

  keep(channel: ClaimedChannel): Promise<boolean> {
    return this.#table.claim(rowOf(channel));
  }

  async claim(channel: ClaimedChannel): Promise<boolean> {
    const { deviceId, agentId } = channel;
    const wanted = rowOf(channel);
    if (await this.#table.claim(wanted)) return true;
    for (let tries = 0; tries < maxTries; tries += 1) {
      const [holder] = await this.#table.find([deviceId]);
      if (holder && holder.daemon !== this.#id && !(await this.#yields(holder, agentId))) return false;
      if (await this.#table.claim({ ...wanted, ...(holder && { replaces: holder.claim }) })) return true;
    }
    throw new IdentityError(
      'UNREACHABLE',
      'This device connects to several daemons at the same time. Connect again.',
    );
  }

  release({ deviceId, claim }: Pick<ClaimedChannel, 'deviceId' | 'claim'>): void {
    this.#table.release(deviceId, claim);
  }

  async execute(request: ExecuteRequest): Promise<ExecuteResult> {
    const { deviceId } = request;
    let failed: string | undefined;
    for (let tries = 0; tries < maxTries; tries += 1) {
      const [place] = await this.#table.find([deviceId]);
      if (!place?.isAlive || place.daemon === this.#id || place.claim === failed) break;
      try {
        return await this.#executeAt(place, request);
      } catch (error) {
        if (!(error instanceof NotRun)) throw error;
        failed = place.claim;
      }
    }
    throw notConnected(deviceId);
  }

  async connectionsOf(devices: readonly DeviceId[]): Promise<Map<DeviceId, ClaimedChannel['channel']>> {
    const places = await this.#table.find(devices);
    const there = places.filter(({ daemon, isAlive }) => isAlive && daemon !== this.#id);
    return new Map(there.map(({ deviceId, facts }) => [deviceId as DeviceId, JSON.parse(facts)]));
  }

  async countElsewhere(): Promise<number> {
    const counts = await this.#table.counts();
    return [...counts].reduce((sum, [daemon, count]) => (daemon === this.#id ? sum : sum + count), 0);
  }

  async watchElsewhere(): Promise<() => Promise<readonly DeviceId[]>> {
    const changed = await this.#table.watch();
    return async () => (await changed()) as DeviceId[];
  }

  /** A daemon that cannot be asked has lost its channels. */
  async #yields({ daemon, isAlive, agent, deviceId }: ChannelPlace, agentId: string): Promise<boolean> {
    if (!isAlive) return true;
    const timeoutMs = yieldMs + (agent === agentId ? 0 : defaultChannelLimits.probeMs);
    try {
      const { isHeld } = await this.#peers.use(daemon, (transport) =>
        createClient(PeerService, transport).yieldChannel(
          { deviceId, agentId: Buffer.from(agentId, 'hex') },
          { timeoutMs },
        ),
      );
      return !isHeld;
    } catch (cause) {
      const error = fromConnectError(cause);
      if (error.code !== 'UNREACHABLE') this.#onError(error, `asking the daemon ${daemon} for a channel`);
      return true;
    }
  }

  /** @throws NotRun if the capability has certainly not run. */
  async #executeAt({ daemon }: ChannelPlace, request: ExecuteRequest): Promise<ExecuteResult> {
    const { by, deviceId, capability, input, signal } = request;
    const timeoutMs = Math.min(request.timeoutMs, defaultChannelLimits.timeoutMaxMs);
    const message = {
      deviceId,
      capability,
      input,
      timeoutMs,
      ...(by.kind === 'device' && { byDevice: by.deviceId, bySerial: by.serial }),
    };
    let isAsked = false;
    const startedAt = performance.now();
    try {
      return await this.#peers.use(daemon, (transport) => {
        isAsked = true;
        return createClient(PeerService, transport).execute(message, {
          signal,
          timeoutMs: timeoutMs + graceMs,
        });
      });
    } catch (cause) {
      if (signal.aborted) throw canceled();
      const error = fromConnectError(cause);
      if (error.code === 'DEVICE_NOT_CONNECTED') throw new NotRun();
      if (!isAsked && error.code === 'UNREACHABLE') throw new NotRun();
      if (!isAsked || refusals.has(error.code)) {
        this.#onError(error, `asking the daemon ${daemon} to run a capability`);
        throw new NotRun();
      }
      if (error.code !== 'UNREACHABLE') throw error;
      if (performance.now() - startedAt >= timeoutMs) throw timedOut(timeoutMs);
      throw lost(cause);
    }
  }
}

function rowOf({ deviceId, agentId, claim, channel }: ClaimedChannel) {
  const { transport, quicProblem, origin } = channel;
  return { deviceId, claim, agent: agentId, facts: JSON.stringify({ transport, quicProblem, origin }) };
}

/** The capability has not run. */
class NotRun extends Error {}

const canceled = () => new IdentityError('CAPABILITY_CANCELED', 'The caller ended the call.');

const timedOut = (ms: number) =>
  new IdentityError('CAPABILITY_TIMEOUT', `The device did not answer within ${ms} ms.`);

const lost = (cause: unknown) =>
  new IdentityError(
    'CAPABILITY_LOST',
    `The daemon that has the device's channel ended during the call. ${mayHaveRun}`,
    { cause },
  );
