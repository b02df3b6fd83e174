// `palyra doctor`: everything about a home that can be wrong, and what to do about it. Reads only; the daemon may run.

import { lstat, statfs } from 'node:fs/promises';
import { connect } from 'node:net';
import { hasCode, IdentityError, verifyAudit } from '@palyra/identity';
import { mustBeOwnFolder } from '@palyra/identity/files';
import {
  type AuthorityKeyReader,
  checkKeyPlace,
  type FilesystemSecretReader,
  type KeyPlace,
} from '@palyra/identity/keys';
import {
  describeDifference,
  mustBelongTogether,
  type RegistryReader,
  readRestored,
} from '@palyra/identity/registry';
import { clockToleranceMs, reasonOf, refusalOf, type Ulid } from '@palyra/identity/values';
import { lookAtSqliteRegistry } from '@palyra/registry-sql';
import { quicProblem } from '@palyra/transport-quic';
import { type DaemonConfig, parseConfig, readablePart, readConfig, readConfigInput } from '../config.ts';
import { onThisMachine, type Place, placesOf, unusablePlaces } from '../listeners/places.ts';
import { withoutQuic } from '../problems.ts';
import { readCaKeys, tryToken } from './ca-key.ts';
import { findDaemon } from './home.ts';
import { unusableSettings, unusableTokenFiles } from './obstacles.ts';
import { readSecrets } from './open-home.ts';
import { type DaemonPaths, daemonPaths } from './paths.ts';
import { mustBePrivate } from './private.ts';

export interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'warning' | 'problem';
  readonly message: string;
}

const day = 86_400_000;
const lowSpaceBytes = 64 * 1024 * 1024;

export interface ExamineOptions {
  /** The daemon's configuration. Default: the one with which it was started last. */
  readonly configFile?: string;
  /** As a start would see it: a home without a daemon is no problem. */
  readonly beforeStart?: boolean;
}

/** In the order in which they should be looked at. Never throws for what it finds. */
export async function examineHome(
  homePath: string,
  now: Date,
  { configFile, beforeStart = false }: ExamineOptions = {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const find: Find = async (check, look) => {
    try {
      const seen = await look();
      findings.push(
        ...(typeof seen === 'string' ? [{ check, verdict: 'ok' as const, message: seen }] : seen),
      );
      return true;
    } catch (error) {
      findings.push(problem(check, refusalOf(error) ?? reasonOf(error)));
      return false;
    }
  };
  // What another user's daemon needs, this user cannot say.
  if (!(await find('home', () => mustBeOwnFolder(homePath).then(() => [])))) return findings;
  let paths = daemonPaths(homePath);
  const isNew = beforeStart && !(await isThere(paths.secrets)) && !(await isThere(paths.registry));
  await find('home', () => examineFolder(homePath, paths, isNew));
  let config: DaemonConfig | undefined;
  let readable: DaemonConfig | undefined;
  await find('configuration', async () => {
    paths = await findDaemon(homePath, configFile);
    const input = await readConfigInput(paths.config, { mustExist: paths.isConfigNamed });
    readable = readablePart(input);
    const problems = readable ? await unusableSettings(readable, paths) : [];
    try {
      config = parseConfig(input, paths.config);
    } catch (error) {
      problems.unshift(error as IdentityError);
    }
    if (!config || problems.length > 0)
      return problems.map(({ message }) => problem('configuration', message));
    const program = config.notice.command?.[0];
    // The daemon starts all the same.
    if (program?.includes('/') && !(await isThere(program))) {
      const message = `notice.command: ${program} is not there, so nobody is told that a device waits.`;
      return [{ check: 'configuration', verdict: 'warning', message }];
    }
    return (await isThere(paths.config))
      ? `${paths.config} can be used.`
      : 'There is no config.json: the defaults hold.';
  });
  await find('listeners', () => examineListeners(homePath, readable, paths));
  if (isNew) {
    await find('ca key', async () => {
      // What is wrong with its files was said.
      if (!config || (await unusableTokenFiles(config)).length > 0) return [];
      const place = await tryToken(config, homePath);
      return place ? takesPin(place) : [];
    });
    return findings;
  }
  if (!(await isThere(paths.path))) return findings;
  await find('disk', () => examineSpace(paths));
  let secrets: FilesystemSecretReader | undefined;
  await find('secrets', async () => {
    // What is wrong with it was said.
    if (!config) return [];
    secrets = await readSecrets(paths, config);
    const names = await secrets.list();
    for (const name of names) await secrets.read(name);
    return `All ${names.length} secrets open under the master key (${config.masterKey.from}).`;
  });
  const before = findings.length;
  try {
    await find('registry', () =>
      lookAtSqliteRegistry({ path: paths.registry }, async (registry) => {
        // It may be looked at anew.
        findings.splice(before);
        await examineRegistry(registry, { paths, config, secrets, now, find });
        return [];
      }),
    );
    // Last, because it changes what programs that are started later trust.
    await find('quic', async () => examineQuic(config));
  } finally {
    await secrets?.close();
  }
  return findings;
}

type Find = (check: string, look: () => Promise<string | Finding[]>) => Promise<boolean>;

interface Surroundings {
  readonly paths: DaemonPaths;
  readonly config: DaemonConfig | undefined;
  readonly secrets: FilesystemSecretReader | undefined;
  readonly now: Date;
  readonly find: Find;
}

async function examineRegistry(
  registry: RegistryReader,
  { paths, config, secrets, now, find }: Surroundings,
): Promise<void> {
  await find('registry', async () => {
    const { devices, pendingRequests } = await registry.counts();
    if (secrets) await mustBelongTogether(secrets, registry);
    return `The registry opens: ${devices} device${devices === 1 ? '' : 's'}, ${pendingRequests} ${pendingRequests === 1 ? 'request that waits' : 'requests that wait'}.`;
  });
  let opened: AuthorityKeyReader | undefined;
  /** Only where they belong to the registry. */
  let keys: AuthorityKeyReader | undefined;
  try {
    await find('ca key', async () => {
      // What is wrong with the secrets, or with a token's files, was said.
      if (!config || !secrets || (await unusableTokenFiles(config)).length > 0) return [];
      opened = await readCaKeys(config, paths, secrets, registry);
      await checkKeyPlace(registry, opened);
      keys = opened;
      return keys.place.provider === 'pkcs11'
        ? takesPin(keys.place)
        : "The CA's keys are in the secret store.";
    });
    await find('clock', () => examineClock(registry, now));
    await find('audit', () => examineAudit(registry));
    await find('authority', () => examineAuthorities(registry, keys, now));
    await find('restore', () => examineRestore(registry));
  } finally {
    await opened?.close();
  }
}

const takesPin = ({ token, serial }: KeyPlace) =>
  `The token "${token}" (serial number ${serial}) takes the PIN.`;

async function examineFolder(homePath: string, { path }: DaemonPaths, isNew: boolean): Promise<string> {
  await mustBePrivate(homePath);
  if (isNew) return `No daemon was started in ${homePath} yet. The first start makes it.`;
  if (await isThere(path)) return `${path} is private to its user.`;
  throw new IdentityError(
    'STORE_FAILED',
    `${path} is not there. Start the daemon once, or name the right home: --home DIR`,
  );
}

async function examineListeners(
  homePath: string,
  config: DaemonConfig | undefined,
  { adminSocket }: DaemonPaths,
): Promise<string | Finding[]> {
  if (!config) return [];
  const runs = await answers(adminSocket);
  const problems = await unusablePlaces(config, runs ? await placesNow(homePath) : []);
  if (problems.length > 0) return problems.map(({ message }) => problem('listeners', message));
  return runs
    ? 'The daemon runs, and every port of the configuration is its own or free.'
    : 'Every port of the configuration is free.';
}

/** Of a daemon that runs. */
async function placesNow(homePath: string): Promise<Place[]> {
  const { config } = await findDaemon(homePath);
  // One that has been spoilt since says nothing about the daemon.
  return readConfig(config).then(
    async (read) => placesOf(await onThisMachine(read)),
    () => [],
  );
}

async function answers(socket: string): Promise<boolean> {
  const connection = connect(socket);
  return new Promise((resolve) => {
    connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).then((isUp) => {
    connection.destroy();
    return isUp as boolean;
  });
}

function problem(check: string, message: string): Finding {
  return { check, verdict: 'problem', message };
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

async function examineSpace({ path }: DaemonPaths): Promise<string | Finding[]> {
  const { bavail, bsize } = await statfs(path);
  const free = bavail * bsize;
  const text = `${Math.floor(free / 1024 / 1024)} MiB are free on the disk of the home.`;
  if (free >= lowSpaceBytes) return text;
  return [
    {
      check: 'disk',
      verdict: 'warning',
      message: `${text} Free some: a full disk stops pairing and renewal.`,
    },
  ];
}

function examineQuic(config: DaemonConfig | undefined): string | Finding[] {
  // What is wrong with the configuration was said.
  if (!config) return [];
  if (!config.quic.enabled) return 'QUIC is switched off in the configuration.';
  const problem = quicProblem();
  if (!problem) return 'The library of QUIC loads.';
  return [{ check: 'quic', verdict: 'warning', message: withoutQuic(problem).message }];
}

async function examineClock(registry: RegistryReader, now: Date): Promise<string | Finding[]> {
  const [last] = await registry.audit({ limit: 1 });
  if (!last || now.getTime() >= last.atMs - clockToleranceMs) return 'The clock has not gone back.';
  const message = `The clock says ${now.toISOString()}, but something was written down at ${new Date(last.atMs).toISOString()} already. Set the clock right, or certificates end at the wrong time.`;
  return [{ check: 'clock', verdict: 'problem', message }];
}

async function examineAudit(registry: RegistryReader): Promise<string | Finding[]> {
  const verdict = await verifyAudit(registry);
  if (verdict.ok) return `All ${verdict.rows} rows of the audit chain hold, and the tables are as they say.`;
  if (verdict.differences.length > 0)
    return verdict.differences.map((difference) => ({
      check: 'audit',
      verdict: 'problem' as const,
      message: `${describeDifference(difference)}. Somebody changed the registry from outside: compare it with a backup.`,
    }));
  throw new IdentityError(
    'AUDIT_BROKEN',
    `The audit chain does not hold: ${verdict.problem}. Someone or something changed the registry from outside: compare it with a backup.`,
  );
}

async function examineAuthorities(
  registry: RegistryReader,
  keys: AuthorityKeyReader | undefined,
  now: Date,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const add = (verdict: Finding['verdict'], message: string) =>
    findings.push({ check: 'authority', verdict, message });
  for (const each of await registry.authorities()) {
    if (each.state === 'retired' || (each.tier === 'issuing' && each.state !== 'active')) continue;
    const name = `The ${each.state} ${each.tier} CA ${each.fingerprint.slice(0, 16)}`;
    const left = each.notAfter.getTime() - now.getTime();
    if (keys && !(await hasKey(keys, each.id))) {
      add(
        'problem',
        `${name} has no key in ${keys.place.provider === 'pkcs11' ? 'the token. Restore the token from its own backup' : 'the secret store. Restore both from one backup'}.`,
      );
    } else if (each.notBefore > now) {
      add(
        'problem',
        `${name} begins at ${each.notBefore.toISOString()}, and the clock says ${now.toISOString()}. If the clock is wrong, set it. If it is right, stop the daemon and run: palyra ca set-aside`,
      );
    } else if (left <= 0) {
      add(
        'problem',
        `${name} has ended. ${each.tier === 'root' ? 'Stop the daemon and run: palyra ca set-aside' : 'Start the daemon: it makes a new one.'}`,
      );
    } else if (each.tier === 'root' && left < 365 * day) {
      add('warning', `${name} ends in ${Math.floor(left / day)} days. ${rotate}`);
    } else add('ok', `${name} holds until ${each.notAfter.toISOString().slice(0, 10)}.`);
  }
  return findings;
}

const rotate = 'Move to a new one: palyra ca rotate-root prepare';

async function hasKey(keys: AuthorityKeyReader, id: Ulid): Promise<boolean> {
  try {
    await keys.load(id);
    return true;
  } catch (error) {
    if (hasCode(error, 'SECRET_NOT_FOUND')) return false;
    throw error;
  }
}

async function examineRestore(registry: RegistryReader): Promise<string | Finding[]> {
  const restored = await readRestored(registry);
  if (!restored) return 'This home was never restored from a backup.';
  const { atMs, madeAtMs } = restored;
  const [at, madeAt] = [new Date(atMs).toISOString(), new Date(madeAtMs).toISOString()];
  const message = `Restored at ${at} from a backup of ${madeAt}. Devices that were paired in between are unknown here: they have to pair again.`;
  return [{ check: 'restore', verdict: 'warning', message }];
}
