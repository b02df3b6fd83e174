// Deadlines of calls, read from the peer's headers.

import { parseTimeout } from '@connectrpc/connect/protocol-grpc';

/** Node's longest timer. A longer one fires at once. */
export const maxTimerMs = 2 ** 31 - 1;

/**
 * Prepares the deadline for Connect, which sets a timer for any deadline when it gets the call. Drops a deadline that is weeks
 * away, because no connection lives that long.
 * @param since when the headers arrived, by performance.now().
 * @returns the deadline, by performance.now(); undefined without a deadline, or with one that Connect will refuse.
 */
export function settleDeadline(header: Headers, since: number): number | undefined {
  const waited = performance.now() - since;
  const { timeoutMs: grpcMs } = parseTimeout(header.get('grpc-timeout'), Number.POSITIVE_INFINITY);
  const connectText = header.get('connect-timeout-ms');
  const connectMs = connectText !== null && /^\d{1,10}$/.test(connectText) ? Number(connectText) : undefined;
  if (grpcMs !== undefined) {
    if (grpcMs > maxTimerMs) header.delete('grpc-timeout');
    else if (waited >= 1) header.set('grpc-timeout', grpcTimeout(grpcMs - waited));
  }
  if (connectMs !== undefined) {
    if (connectMs > maxTimerMs) header.delete('connect-timeout-ms');
    else if (waited >= 1)
      header.set('connect-timeout-ms', String(Math.max(0, Math.ceil(connectMs - waited))));
  }
  const timeoutMs = grpcMs ?? connectMs;
  return timeoutMs === undefined || timeoutMs > maxTimerMs ? undefined : since + timeoutMs;
}

/** At most eight digits and a unit, as the protocol requires. */
function grpcTimeout(ms: number): string {
  const left = Math.max(0, Math.ceil(ms));
  return left < 1e8 ? `${left}m` : `${Math.ceil(left / 1000)}S`;
}

/**
 * Checks a stream at the end of its handler. When the daemon or the deadline aborted the stream, it fails with that reason
 * instead of ending as if it were complete. A caller who has left gets no reason, because Connect aborts without one.
 */
export function throwIfBrokenOff(signal: AbortSignal): void {
  if (signal.aborted && !(signal.reason instanceof DOMException)) throw signal.reason;
}
