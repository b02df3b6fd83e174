// The first part of a start: the home, its configuration, the stores in it, and the identity that they hold.

import { isDeepStrictEqual } from 'node:util';
import { IdentityManager } from '@palyra/identity';
import type { SecretReader } from '@palyra/identity/keys';
import { defaultPairingLimits, type PairingLimits } from '@palyra/identity/values';
import packageJson from '../../package.json' with { type: 'json' };
import { type DaemonConfig, type DaemonConfigInput, parseConfig, readConfigInput } from '../config.ts';
import { removeLeftCopies } from '../home/backup-copy.ts';
import { openCaKeys } from '../home/ca-key.ts';
import { type DaemonHome, findDaemon, takeHome } from '../home/home.ts';
import { together, unusableSettings } from '../home/obstacles.ts';
import { openHome } from '../home/open-home.ts';
import type { FleetPlace } from '../home/shared-database.ts';
import { onThisMachine, unusablePlaces } from '../listeners/places.ts';
import { openTraces, type Traces } from '../traces/traces.ts';
import { DaemonLog, type LogOptions } from './log.ts';
import type { Run } from './run.ts';

export interface Stores {
  readonly home: DaemonHome;
  readonly config: DaemonConfig;
  /** The configuration as written. */
  readonly input: unknown;
  readonly secrets: SecretReader;
  readonly traces: Traces | undefined;
  readonly identity: IdentityManager;
  /** Undefined for a registry in a file, which only this daemon has. */
  readonly fleet: FleetPlace | undefined;
  /** Notes about this start for the operator. They are not errors. */
  readonly notes: readonly string[];
}

export interface StoresOptions {
  readonly home: string;
  readonly config?: DaemonConfigInput;
  readonly configFile?: string;
  readonly log?: LogOptions;
}

/** @throws HOME_IN_USE, STORE_PERMISSIONS, MASTER_KEY_WRONG, MESSAGE_INVALID for the configuration, and errors of the stores. */
export async function openStores(options: StoresOptions, run: Run): Promise<Stores> {
  const { home, config, input, notes } = await openConfiguredHome(options, run);
  const logLevel = options.log?.level ?? config.log?.level;
  if (options.log && logLevel) run.log = new DaemonLog(logLevel, options.log.write);
  const traces = await openTraces(config, packageJson.version, run.onError);
  if (traces) run.undo(() => traces.close());
  await removeLeftCopies(home);
  const { secrets, registry: opened, fleet } = await openHome(home, config, run.onError);
  run.undo(() => secrets.close());
  run.undo(() => opened.close());
  const registry = traces?.registry(opened) ?? opened;
  const authorityKeys = await openCaKeys(config, home, secrets, registry);
  run.undo(() => Promise.race([authorityKeys.close(), run.over]));
  // The registry records which key on the token the next attempt must use.
  run.mustKeep ||= config.caKey !== undefined;
  const identity = await IdentityManager.open({
    secrets,
    authorityKeys,
    registry,
    clock: run.clock,
    limits: pairingLimits(config),
    cloning: config.cloning,
    ...(config.trustDomain !== undefined && { trustDomain: config.trustDomain }),
  });
  await identity.tick();
  return { home, config, input, secrets, traces, identity, fleet, notes };
}

async function openConfiguredHome(
  options: StoresOptions,
  run: Run,
): Promise<Omit<Stores, 'identity' | 'fleet' | 'secrets' | 'traces'>> {
  const taken = await takeHome(options.home);
  run.undo(() => (run.mustKeep ? taken.release() : taken.abandon()));
  const home = options.config ? taken : { ...taken, ...(await findDaemon(options.home, options.configFile)) };
  const input = options.config ?? (await readConfigInput(home.config, { mustExist: home.isConfigNamed }));
  const wanted = parseConfig(input, options.config ? 'The configuration' : home.config);
  const config = await onThisMachine(wanted);
  const obstacles = async () => [
    ...(await unusableSettings(config, home)),
    ...(await unusablePlaces(config)),
  ];
  // Checked before the start fixes a trust domain and creates a key.
  const [first, ...others] = home.isNew ? await obstacles() : [];
  if (first) throw together([first, ...others]);
  run.obstacles = obstacles;
  return { home, config, input, notes: isDeepStrictEqual(config, wanted) ? [] : [withoutIpv6] };
}

const withoutIpv6 =
  'This machine has no IPv6: listeners on every interface (::) listen on every IPv4 interface (0.0.0.0).';

/** The configured limits that belong to the library. Omits those that are not set. */
function pairingLimits({ limits }: DaemonConfig): Partial<PairingLimits> {
  const known = Object.entries(limits).filter(
    ([name, value]) => Object.hasOwn(defaultPairingLimits, name) && value !== undefined,
  );
  return Object.fromEntries(known);
}
