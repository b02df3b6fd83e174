// What the channels of one daemon need of the other daemons of its fleet.

import type { DeviceId } from '@palyra/identity/values';
import type { ExecuteRequest, ExecuteResult } from './calls.ts';
import type { Channel } from './channel.ts';

/** A channel that is about to begin, or lives. */
export interface ClaimedChannel {
  readonly deviceId: DeviceId;
  /** Hex. */
  readonly agentId: string;
  /** Identifies this channel in the fleet. */
  readonly claim: string;
  readonly channel: Pick<Channel, 'transport' | 'quicProblem' | 'origin'>;
}

export interface OtherDaemons {
  /**
   * Makes this the device's only channel in the fleet. A channel at another daemon ends, unless another agent answers on it.
   * @returns whether this daemon has the channel now.
   */
  claim(channel: ClaimedChannel): Promise<boolean>;
  /** Claims a living channel again, after the fleet took it for lost. @returns false if another daemon has one. */
  keep(channel: ClaimedChannel): Promise<boolean>;
  /** The channel has ended. */
  release(channel: Pick<ClaimedChannel, 'deviceId' | 'claim'>): void;
  /**
   * Runs a capability where the device's channel is.
   * @throws DEVICE_NOT_CONNECTED if no other daemon has one, CAPABILITY_LOST if that daemon ends during the call, and the
   *   errors of `DeviceChannels.execute` there.
   */
  execute(request: ExecuteRequest): Promise<ExecuteResult>;
  /** The connections at other daemons, of those of the devices that have one. */
  connectionsOf(devices: readonly DeviceId[]): Promise<Map<DeviceId, ClaimedChannel['channel']>>;
  /** The number of devices that are connected to other daemons. */
  countElsewhere(): Promise<number>;
  /** @returns a function that tells which devices have connected or disconnected since its last call. */
  watchElsewhere(): Promise<() => Promise<readonly DeviceId[]>>;
}
