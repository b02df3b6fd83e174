// The limits of one device's channel.

export interface ChannelLimits {
  /** Most unanswered calls of one device. */
  readonly callsPerDevice: number;
  /** Input or output of a capability, bytes. */
  readonly payloadBytes: number;
  /** Time for the connected agent to answer when another one connects, ms. */
  readonly probeMs: number;
  /** How long a call waits for a disconnected device, ms. */
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
