// What a method learns from its call: who calls, and when the call is over.

import type { HandlerContext } from '@connectrpc/connect';
import type { Actor } from '@palyra/identity/registry';
import { callingDevice } from '@palyra/rpc';
import { actorOf, isRemote, throwIfBrokenOff } from '@palyra/rpc/transport';
import type { AdminServiceOptions } from './options.ts';

/** A device with its certificate, which may be revoked alone before the change is made. */
export function actorIn(context: HandlerContext): Actor {
  return isRemote(context) ? callingDevice(context) : actorOf(context);
}

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
