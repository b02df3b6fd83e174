// registry.*: whether the cost per device grows with the number of devices.

import { fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { FilesystemSecretStore, IdentityManager, masterKeyFromFile } from '@palyra/identity';
import type { Registry } from '@palyra/identity/registry';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { seededDevice } from '@palyra/registry-sql/suite';
import { type Figures, interleave, median, type Progress, quartiles, ratio, type Work } from './measure.ts';
import { newDevice, pair } from './pair.ts';
import { answerOf } from './server-process.ts';
import { TemporaryFolder } from './temporary-folder.ts';
import { timeRegistry } from './timed-registry.ts';

const few = 1_000;
const tens = 10_000;
const hundreds = 100_000;
const many = 1_000_000;
const starts = 5;
const pairingRounds = { rounds: 200, warmUp: 20 };
// The warm-up fills the registry's cache, like days of calls.
const checkRounds = { rounds: 300, warmUp: 1500, calls: 100 };

export async function registry(progress: Progress): Promise<Figures> {
  using folder = await TemporaryFolder.make();
  const home = (name: string) => join(folder.path, name);
  const homes = {
    none: home('none'),
    few: home('few'),
    tens: home('tens'),
    hundreds: home('hundreds'),
    many: home('many'),
  };
  for (const each of Object.values(homes)) await start(each);
  progress('registries of 1,000 to 1,000,000 devices are made (half a minute)');
  await seed(homes.few, few);
  await seed(homes.tens, tens);
  await seed(homes.hundreds, hundreds);
  await seed(homes.many, many);
  progress('the start of a daemon that has them');
  const started = await measureStarts(homes);
  progress('a pairing and the check of a call among them');
  return { ...(await measureGrowth(homes)), ...started };
}

const registryPath = (home: string) => join(home, 'daemon', 'registry.sqlite');

async function seed(home: string, count: number): Promise<void> {
  const child = fork(new URL('./seed.ts', import.meta.url), [registryPath(home), String(count)]);
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`a registry of ${count} devices could not be made: exit code ${code}`);
}

/** Measures from the start of the process until the daemon listens. */
async function start(home: string): Promise<{ ms: number; mib: number }> {
  const started = performance.now();
  const child = fork(new URL('./daemon-start.ts', import.meta.url), [home]);
  const { rssBytes } = await answerOf<{ rssBytes: number }>(child);
  const ms = performance.now() - started;
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
  return { ms, mib: rssBytes / 2 ** 20 };
}

async function measureStarts(homes: Readonly<Record<'none' | 'many', string>>): Promise<Figures> {
  const memory = { none: [] as number[], many: [] as number[] };
  const startOf = (home: 'none' | 'many') => async () => {
    const { ms, mib } = await start(homes[home]);
    memory[home].push(mib);
    return ms;
  };
  const times = await interleave(
    { none: startOf('none'), many: startOf('many') },
    { rounds: starts, warmUp: 1 },
  );
  return {
    'registry.start_ms_1m': {
      value: median(times.many),
      spread: quartiles(times.many),
      unit: 'ms',
      meaning: 'From the start of the process to a daemon that listens, with 1,000,000 devices.',
      parts: { without_devices_ms: median(times.none) },
    },
    'registry.start_mib_1m': {
      value: median(memory.many),
      spread: quartiles(memory.many),
      unit: 'MiB',
      meaning: 'Resident memory of that daemon.',
      parts: { without_devices_mib: median(memory.none) },
    },
  };
}

async function measureGrowth(
  homes: Readonly<Record<'few' | 'tens' | 'hundreds' | 'many', string>>,
): Promise<Figures> {
  const small = await openHome(homes.few);
  const [ten, hundred] = [await openHome(homes.tens), await openHome(homes.hundreds)];
  const large = await openHome(homes.many);
  const check = await interleave(
    {
      few: checks(small, few),
      tens: checks(ten, tens),
      hundreds: checks(hundred, hundreds),
      many: checks(large, many),
      sameCallers: checks(large, many, few),
    },
    checkRounds,
  );
  const pairing = await interleave(
    { few: pairings(small), tens: pairings(ten), hundreds: pairings(hundred), many: pairings(large) },
    pairingRounds,
  );
  for (const each of [small, ten, hundred, large]) await each.close();
  const growth = { check: ratio(check.many, check.few), pairing: ratio(pairing.many, pairing.few) };
  const checkOfSameCallers = ratio(check.sameCallers, check.few).value;
  return {
    'registry.growth_1k_to_1m': {
      ...(growth.check.value > growth.pairing.value ? growth.check : growth.pairing),
      target: { atMost: 1.3 },
      unit: 'ratio',
      meaning:
        'What the registry takes for a pairing (all its changes, on disk), and for the check of a call (of any device, ' +
        'and read, not remembered), among 1,000,000 devices over the same among 1,000; the larger of the two.',
      parts: {
        pairing_growth: growth.pairing.value,
        pairing_1k_ms: median(pairing.few),
        pairing_1m_ms: median(pairing.many),
        check_growth: growth.check.value,
        check_1k_us: median(check.few) * 1000,
        check_1m_us: median(check.many) * 1000,
        check_growth_same_callers: checkOfSameCallers,
      },
      whenMissed:
        'The check reads two entries of two indexes that are a level or two deeper, and whose pages (250 MiB) are in ' +
        'memory but not in the cache of the processor. same_callers: as many different devices call as among 1,000.',
      plot: {
        title: 'Growth from 1,000 to 1,000,000 devices',
        kind: 'lines',
        x: { label: 'devices in the registry', isLogarithmic: true },
        y: { label: 'time in the registry, ms', isLogarithmic: true },
        lines: [
          ['a pairing, on disk', grown(pairing)],
          ['the check of a call, read', grown(check)],
        ],
      },
    },
  };
}

const grown = (times: Readonly<Record<'few' | 'tens' | 'hundreds' | 'many', number[]>>) =>
  [
    [few, median(times.few)],
    [tens, median(times.tens)],
    [hundreds, median(times.hundreds)],
    [many, median(times.many)],
  ] as const;

interface OpenHome {
  readonly registry: Registry;
  /** Opens a home with a registry that measures its time. */
  readonly timed: IdentityManager;
  /** The time since the last call of this function, ms. */
  takeRegistryMs(): number;
  close(): Promise<void>;
}

async function openHome(home: string): Promise<OpenHome> {
  const masterKey = await masterKeyFromFile({ path: join(home, 'daemon', 'master.key') });
  const secrets = await FilesystemSecretStore.open({ path: join(home, 'daemon', 'secrets'), masterKey });
  const registry = await openSqliteRegistry({ path: registryPath(home) });
  const timed = timeRegistry(registry);
  return {
    registry,
    timed: await IdentityManager.open({ secrets, registry: timed.registry }),
    takeRegistryMs: timed.takeMs,
    close: async () => {
      await registry.close();
      await secrets.close();
    },
  };
}

/** Reads for a series of calls, each by one of `callers` devices, chosen among all `count`. */
export function checks(
  { registry }: Pick<OpenHome, 'registry'>,
  count: number,
  callers = count,
  { rounds, warmUp, calls } = checkRounds,
): Work {
  const someDevice = () => seededDevice(1 + randomInt(count)).fingerprint;
  const known = callers < count ? Array.from({ length: callers }, someDevice) : undefined;
  const fingerprints = Array.from({ length: (rounds + warmUp) * calls }, () =>
    known ? known[randomInt(callers)]! : someDevice(),
  );
  return () => registry.standing(fingerprints.pop()!);
}

export function pairings({ timed, takeRegistryMs }: Pick<OpenHome, 'timed' | 'takeRegistryMs'>): Work {
  return async () => {
    const device = await newDevice();
    takeRegistryMs();
    await pair(timed, device);
    return takeRegistryMs();
  };
}
