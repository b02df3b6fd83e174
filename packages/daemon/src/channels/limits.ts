// What one device may owe and be owed over its channel.

export interface ChannelLimits {
  /** Calls that one device may owe an answer at one time. */
  readonly callsPerDevice: number;
  /** Input or output of a capability, bytes. */
  readonly payloadBytes: number;
  /** How long the agent that is connected may take to answer when another one comes, ms. */
  readonly probeMs: number;
  /** How long a call waits for a device that has lost its connection, ms. */
  readonly reconnectMs: number;
  readonly timeoutMaxMs: number;
}

export const defaultChannelLimits: ChannelLimits = {
  callsPerDevice: 256,
  payloadBytes: 512 * 1024,
  probeMs: 5_000,
  reconnectMs: 30_000,
  timeoutMaxMs: 10 * 60_000,
};
