// The end of a call.

import type { HandlerContext } from '@connectrpc/connect';
import { throwIfBrokenOff } from '@palyra/rpc/transport';
import type { AdminServiceOptions } from './options.ts';

/** Aborted when the caller leaves, or with the reason if the daemon stops or the time is over. */
export async function* untilStopped<T>(
  { stopping }: Pick<AdminServiceOptions, 'stopping'>,
  context: HandlerContext,
  watch: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncIterable<T> {
  const signal = AbortSignal.any([context.signal, stopping]);
  yield* watch(signal);
  throwIfBrokenOff(signal);
}
