// Limits of one HTTP/2 listener.

import type { OpenCallLimits } from '../calls/open-calls.ts';
import type { ConnectionLimits } from '../connections/live-connections.ts';

export interface Http2Limits extends Required<ConnectionLimits>, OpenCallLimits {
  /** Calls that one session may abandon at once. */
  readonly resetBurst: number;
  /** Further calls that one session may abandon in each second. */
  readonly resetRate: number;
  /** SETTINGS, and PINGs that no answer of ours caused, that one session may send in ten seconds. */
  readonly controlFrames: number;
  /** Headers of one call, bytes. */
  readonly headerBytes: number;
  /** One message, bytes. */
  readonly messageBytes: number;
  /** Time for a request, or for each message of a stream, to arrive completely, ms. */
  readonly requestMs: number;
}

export const defaultHttp2Limits: Http2Limits = {
  connections: 10_000,
  strangersPerSource: 64,
  strangerIdleMs: 10_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 10 * 60_000,
  streamsPerSession: 100,
  waitingStreams: 400,
  resetBurst: 200,
  resetRate: 20,
  controlFrames: 1_000,
  headerBytes: 16 * 1024,
  messageBytes: 1024 * 1024,
  requestMs: 30_000,
};
