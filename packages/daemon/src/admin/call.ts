// When a call is over.

import type { HandlerContext } from '@connectrpc/connect';
import { throwIfBrokenOff } from '@palyra/rpc/transport';
import type { AdminServiceOptions } from './options.ts';

/** Ends with the caller, or with the reason why the daemon stops or the call has no more time. */
export async function* untilStopped<T>(
  { stopping }: Pick<AdminServiceOptions, 'stopping'>,
  context: HandlerContext,
  watch: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncIterable<T> {
  const signal = AbortSignal.any([context.signal, stopping]);
  yield* watch(signal);
  throwIfBrokenOff(signal);
}
