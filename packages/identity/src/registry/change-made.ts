// Whether a call has changed the registry. An answer that also needs a read can fail after its change was made, and the errors of a
// store say that nothing was changed.

import { AsyncLocalStorage } from 'node:async_hooks';
import { IdentityError } from '../errors.ts';

const calls = new AsyncLocalStorage<{ isMade: boolean }>();

/** For registries: a change of the present call is durable. */
export function changeMade(): void {
  const call = calls.getStore();
  if (call) call.isMade = true;
}

/** Runs the work of one call. @throws its errors; STORE_OUTCOME_UNKNOWN when the store failed after a change. */
export async function tellingOfChanges<T>(work: () => Promise<T> | T): Promise<T> {
  const call = { isMade: false };
  try {
    return await calls.run(call, work);
  } catch (error) {
    if (!call.isMade || !(error instanceof IdentityError) || error.family !== 'store') throw error;
    if (error.code === 'STORE_OUTCOME_UNKNOWN') throw error;
    // Without the message of the cause, which says that nothing was changed.
    throw new IdentityError(
      'STORE_OUTCOME_UNKNOWN',
      `The change may have been made, but what came after it failed (${error.code}). Check whether it was made before you repeat it.`,
      { cause: error },
    );
  }
}
