// Deadlines of calls, as peers write them.

import { parseTimeout } from '@connectrpc/connect/protocol-grpc';

/** Node takes no longer timer: one set beyond it fires at once. */
export const maxTimerMs = 2 ** 31 - 1;

/** For Connect, which sets a timer for any deadline. One that is weeks away is none: no connection lives as long. */
export function dropFarDeadline(header: Headers): void {
  const { timeoutMs = 0 } = parseTimeout(header.get('grpc-timeout'), Number.POSITIVE_INFINITY);
  if (timeoutMs > maxTimerMs) header.delete('grpc-timeout');
  if (Number(header.get('connect-timeout-ms')) > maxTimerMs) header.delete('connect-timeout-ms');
}

/**
 * For the end of a stream's handler: a stream that the daemon or the call's deadline breaks off fails with that reason, and
 * does not end as if all had been said. A caller who has left gets no reason: Connect aborts without one.
 */
export function throwIfBrokenOff(signal: AbortSignal): void {
  if (signal.aborted && !(signal.reason instanceof DOMException)) throw signal.reason;
}
