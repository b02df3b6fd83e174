// How a daemon stops: it takes no new connections, lets running calls end for a while, and then undoes its start.

import type { DeviceChannels } from '../channels/device-channels.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import type { DaemonCredential } from './credential.ts';
import type { Run } from './run.ts';
import type { Timers } from './timers.ts';

/** How long calls that are lost when the daemon stops may take to say so, ms. */
const lastWordMs = 200;

export interface StopOptions {
  readonly channels: DeviceChannels;
  readonly listeners: OpenListeners;
  readonly timers: Timers;
  readonly credential: DaemonCredential;
  /** For running calls, ms. */
  readonly graceMs: number;
}

/** @param cut ends what still runs, at once. @throws what could not be closed. */
export async function stop(
  { channels, listeners, timers, credential, graceMs }: StopOptions,
  run: Run,
  cut?: AbortSignal,
): Promise<void> {
  timers.stop();
  const until = new AbortController();
  until.signal.addEventListener('abort', () => run.waitNoLonger());
  const hurry = () => {
    channels.close();
    setTimeout(() => until.abort(), lastWordMs);
  };
  const deadline = setTimeout(hurry, graceMs);
  cut?.addEventListener('abort', hurry, { once: true });
  if (cut?.aborted) hurry();
  run.stop();
  channels.drain();
  // All at the same time. A revocation still reaches the calls that run on.
  const closing = await listeners.close(until.signal);
  // What the clock or an operator began still finds the registry open, but nobody waits for a signer that hangs.
  await Promise.race([Promise.all([timers.settled, credential.settled]), run.over]);
  clearTimeout(deadline);
  await run.unwind();
  for (const each of closing) if (each.status === 'rejected') throw each.reason;
}
