// Stops a daemon: it refuses new connections, gives running calls time to end, and then undoes its start.

import type { DeviceChannels } from '../channels/device-channels.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import type { DaemonCredential } from './credential.ts';
import type { Run } from './run.ts';
import type { Timers } from './timers.ts';

/** Time for the callers of lost calls to receive the error before their connections are cut, ms. */
const lastWordMs = 200;

export interface StopOptions {
  readonly channels: DeviceChannels;
  readonly listeners: OpenListeners;
  readonly timers: Timers;
  readonly credential: DaemonCredential;
  /** Time for running calls to end, ms. */
  readonly graceMs: number;
}

/** @param cut ends running calls at once. @throws the first error while closing. */
export async function stop(
  { channels, listeners, timers, credential, graceMs }: StopOptions,
  run: Run,
  cut?: AbortSignal,
): Promise<void> {
  timers.stop();
  const until = new AbortController();
  until.signal.addEventListener('abort', () => run.waitNoLonger());
  const cutCalls = () => {
    channels.close();
    setTimeout(() => until.abort(), lastWordMs);
  };
  const deadline = setTimeout(cutCalls, graceMs);
  cut?.addEventListener('abort', cutCalls, { once: true });
  if (cut?.aborted) cutCalls();
  run.stop();
  channels.drain();
  // Closes all listeners at the same time. A revocation still ends calls that are running.
  const closing = await listeners.close(until.signal);
  // Waits for work that a timer or an operator began, so that it still finds the registry open. Does not wait for a hanging signer.
  await Promise.race([Promise.all([timers.settled, credential.settled]), run.over]);
  clearTimeout(deadline);
  await run.unwind();
  for (const each of closing) if (each.status === 'rejected') throw each.reason;
}
