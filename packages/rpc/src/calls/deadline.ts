// Deadlines of calls, as peers write them.

import { parseTimeout } from '@connectrpc/connect/protocol-grpc';

/** Node takes no longer timer: one set beyond it fires at once. */
export const maxTimerMs = 2 ** 31 - 1;

/**
 * For Connect, which sets a timer for any deadline, from when it gets the call. One that is weeks away is none: no connection
 * lives as long.
 * @param since when the headers came, by performance.now().
 * @returns when the call ends, by the same; undefined without a deadline, or with one that Connect will refuse.
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

/** Eight digits and a unit, as the protocol wants it. */
function grpcTimeout(ms: number): string {
  const left = Math.max(0, Math.ceil(ms));
  return left < 1e8 ? `${left}m` : `${Math.ceil(left / 1000)}S`;
}

/**
 * For the end of a stream's handler: a stream that the daemon or the call's deadline breaks off fails with that reason, and
 * does not end as if all had been said. A caller who has left gets no reason: Connect aborts without one.
 */
export function throwIfBrokenOff(signal: AbortSignal): void {
  if (signal.aborted && !(signal.reason instanceof DOMException)) throw signal.reason;
}
