// A daemon that runs, as the program that has started it sees it.

import type { IdentityManager } from '@palyra/identity';
import type { ListenerWord } from '@palyra/rpc/admin';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { OpenListeners } from '../listeners/open-listeners.ts';
import type { DaemonCredential } from './credential.ts';
import type { LogLevel } from './log-levels.ts';
import type { Run } from './run.ts';
import { stop } from './stop.ts';
import type { Stores } from './stores.ts';
import type { Timers } from './timers.ts';

export interface RunningDaemon {
  readonly identity: IdentityManager;
  readonly daemonId: string;
  readonly trustDomain: string;
  readonly rootFingerprint: string;
  readonly listeners: readonly { readonly name: ListenerWord; readonly address: string }[];
  /** Notes about this start for the operator. They are not errors. */
  readonly notes: readonly string[];
  /** The level of the log; undefined if there is none. */
  readonly logLevel: LogLevel | undefined;
  /** host:port for devices: the configured endpoint, or else a current address of this machine. */
  readonly pairingAddress: string;
  /** Does the work that the clock makes due: expiries and new certificates. A timer calls it every 15 seconds. */
  tick(): Promise<void>;
  /**
   * Stops listening, tells connected devices, gives running calls `limits.stopGraceMs` to end, and releases the home.
   * @param cut ends running calls at once.
   */
  close(cut?: AbortSignal): Promise<void>;
}

/** Writes into the log that the daemon runs. */
export function runningDaemon(
  parts: {
    readonly stores: Stores;
    readonly channels: DeviceChannels;
    readonly listeners: OpenListeners;
    readonly timers: Timers;
    readonly credential: DaemonCredential;
    readonly version: string;
    readonly pairingAddress: () => string;
  },
  run: Run,
): RunningDaemon {
  const { listeners, timers, pairingAddress } = parts;
  const { identity, notes, config } = parts.stores;
  run.log?.line('info', 'started', {
    version: parts.version,
    daemon: identity.daemonId,
    trust_domain: identity.trustDomain,
    listeners: listeners.addresses.map(({ name, address }) => `${name} ${address}`),
  });
  for (const note of notes) run.log?.line('warn', note);
  let stopped: Promise<void> | undefined;
  return {
    identity,
    daemonId: identity.daemonId,
    trustDomain: identity.trustDomain,
    rootFingerprint: identity.rootFingerprint,
    listeners: listeners.addresses,
    notes,
    logLevel: run.log?.level,
    get pairingAddress() {
      return pairingAddress();
    },
    tick: () => timers.tick(),
    close(cut) {
      stopped ??= logged(run, () => stop({ ...parts, graceMs: config.limits.stopGraceMs }, run, cut));
      return stopped;
    },
  };
}

async function logged(run: Run, work: () => Promise<void>): Promise<void> {
  run.log?.line('info', 'stopping');
  await work();
  run.log?.line('info', 'stopped');
}
