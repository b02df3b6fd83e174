// Starts a daemon. Lists the parts in the order in which they must start.

import { IdentityError } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { OwnService } from '@palyra/rpc';
import { ownServices } from '@palyra/rpc/transport';
import packageJson from '../package.json' with { type: 'json' };
import { CapabilityRules } from './channels/capability-rules.ts';
import { Connections } from './channels/connections.ts';
import { DeviceChannels } from './channels/device-channels.ts';
import type { DaemonConfigInput } from './config.ts';
import { ConsoleSessions } from './console/sessions.ts';
import { together } from './home/obstacles.ts';
import { listenForDevices } from './listeners/device-listeners.ts';
import { OpenLimit } from './listeners/open-limit.ts';
import { OpenListeners } from './listeners/open-listeners.ts';
import { listenForOperators } from './listeners/operator-listeners.ts';
import { listenForPrograms } from './listeners/optional-listeners.ts';
import { listenForPairing } from './listeners/pairing-listener.ts';
import { listenForWeb } from './listeners/web-listener.ts';
import { Membership } from './peers/membership.ts';
import { adminOptions } from './start/admin-options.ts';
import { announceOnNetwork, passOnChanges } from './start/announcements.ts';
import { DaemonCredential } from './start/credential.ts';
import { followAuthorities } from './start/fleet.ts';
import { Run, type RunOptions } from './start/run.ts';
import { type RunningDaemon, runningDaemon } from './start/running-daemon.ts';
import { openStores } from './start/stores.ts';
import { Timers } from './start/timers.ts';
import { watchVitalSigns } from './start/vital-signs.ts';

export interface StartOptions extends RunOptions {
  /** The home. The daemon keeps its files in `<home>/daemon`. */
  readonly home: string;
  /** Default: the contents of the configuration file, or the default settings if there is no file. */
  readonly config?: DaemonConfigInput;
  /** Default: the file of the last start. At the first start, `<home>/daemon/config.json`. */
  readonly configFile?: string;
  /**
   * The program's own services for paired devices, on the node listener and over QUIC. A handler gets the caller from
   * `callingDevice`.
   */
  readonly services?: readonly OwnService[];
  /** Called for each change of the registry, once the change is durable. */
  readonly onEvent?: (event: RegistryEvent) => void;
}

/**
 * Starts a daemon on a home. The first start creates everything that the daemon needs. A failed start leaves nothing behind,
 * except keys that a token may have created.
 * @throws UNREACHABLE for addresses that it cannot listen on, HOME_IN_USE, STORE_PERMISSIONS, MASTER_KEY_WRONG, MESSAGE_INVALID for the configuration, SERVICE_INVALID, and errors of the stores.
 */
export async function startDaemon(options: StartOptions): Promise<RunningDaemon> {
  const run = new Run(options);
  try {
    const running = await start(options, run);
    run.mustKeep = true;
    return running;
  } catch (error) {
    // The caller gets the reason why the start failed. Failures to undo the start are only reported.
    await run.unwind().catch((failure) => run.onError(failure, 'undoing a failed start'));
    if (!(error instanceof IdentityError)) throw error;
    // The start met one obstacle. The error also names the others.
    const others = (await run.obstacles()).filter(({ message }) => message !== error.message);
    throw together([error, ...others]);
  }
}

async function start(options: StartOptions, run: Run): Promise<RunningDaemon> {
  const own = ownServices(options.services ?? []);
  const stores = await openStores(options, run);
  const { config, identity } = stores;

  const listeners = new OpenListeners();
  const credential = await DaemonCredential.issue(stores, listeners, run);
  const { version } = packageJson;
  const membership = Membership.of({ stores, credential, listeners, version }, run);
  const channels = new DeviceChannels(
    run.clock,
    new CapabilityRules(config.capabilities.rules ?? [], identity.registry),
    { upToDate: () => identity.upToDate(), others: membership?.channels },
  );
  const endpoints = async () => (await membership?.endpoints()) ?? config.endpoints;
  const sessions = new ConsoleSessions(run.clock);
  const openLimit = new OpenLimit({
    perSource: config.limits.opensPerMinutePerSource,
    overall: config.limits.opensPerMinute,
    together: stores.fleet?.rates,
  });
  const signs = await watchVitalSigns(stores, { listeners, openLimit, sessions, version, credential }, run);
  const { metrics, observe, problems } = signs;
  const admin = adminOptions(
    {
      home: options.home,
      stores,
      signs,
      channels,
      connections: new Connections(channels, membership?.channels),
      listeners,
      credential,
      version,
    },
    run,
  );

  followAuthorities(identity, credential, run);
  const { gate, forDevices } = await listenForDevices(
    { stores, own, channels, credential, metrics, observe, admin, listeners, endpoints, membership },
    run,
  );
  await passOnChanges(stores, metrics, options.onEvent, run);
  await listenForPairing({ stores, credential, openLimit, metrics, observe, listeners, endpoints }, run);
  await listenForWeb({ stores, forDevices, openLimit, metrics, listeners, endpoints }, run);
  await listenForPrograms(stores, { metrics, problems }, listeners, run);
  await listenForOperators({ stores, admin, sessions, observe, listeners }, run);
  announceOnNetwork(stores, listeners.portOf('pairing'), run);
  const timers = new Timers(async () => {
    await identity.tick();
    await credential.presentIfDue();
    await membership?.look(channels);
    signs.audit.checkIfDue();
    signs.backups?.runIfDue();
  }, run);
  await membership?.look(channels);
  gate.open();
  return runningDaemon(
    { stores, channels, listeners, timers, credential, version, pairingAddress: admin.pairingAddress },
    run,
  );
}
