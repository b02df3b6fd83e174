// Examines a home: everything that can be wrong with it, and how to fix it. It only reads; the daemon may be running.

import { lstat, statfs } from 'node:fs/promises';
import { connect } from 'node:net';
import { IdentityError } from '@palyra/identity';
import { mustBeOwnFolder } from '@palyra/identity/files';
import type { SecretReader } from '@palyra/identity/keys';
import { reasonOf, refusalOf } from '@palyra/identity/values';
import { quicProblem } from '@palyra/transport-quic';
import { type DaemonConfig, parseConfig, readablePart, readConfig, readConfigInput } from '../config.ts';
import { onThisMachine, type Place, placesOf, unusablePlaces } from '../listeners/places.ts';
import { withoutQuic } from '../problems.ts';
import { tryToken } from './ca-key.ts';
import { examineBackups } from './doctor-backup.ts';
import { examineFleet } from './doctor-fleet.ts';
import { examineRegistry, takesPin } from './doctor-registry.ts';
import { type Find, type Finding, problem, problemOf } from './finding.ts';
import { findDaemon } from './home.ts';
import { unusableSettings, unusableTokenFiles } from './obstacles.ts';
import { lookAtRegistry, readSecrets } from './open-home.ts';
import { type DaemonPaths, daemonPaths } from './paths.ts';
import { mustBePrivate } from './private.ts';

const lowSpaceBytes = 64 * 1024 * 1024;

export interface ExamineOptions {
  /** The daemon's configuration. Default: the one with which it was started last. */
  readonly configFile?: string;
  /** Examines as for a start: a home without a daemon is not a problem. */
  readonly beforeStart?: boolean;
}

/** Findings in the order in which to handle them. Never throws because of a finding. */
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
      const message = refusalOf(error) ?? reasonOf(error);
      findings.push(
        error instanceof IdentityError ? { ...problemOf(check, error), message } : problem(check, message),
      );
      return false;
    }
  };
  // This user cannot judge what another user's daemon needs.
  if (!(await find('home', () => mustBeOwnFolder(homePath).then(() => [])))) return findings;
  let paths = daemonPaths(homePath);
  const isNew =
    beforeStart &&
    !(await isThere(paths.secrets)) &&
    !(await isThere(paths.registry)) &&
    !(await isThere(paths.fleet));
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
    if (!config || problems.length > 0) return problems.map((error) => problemOf('configuration', error));
    const program = config.notice.command?.[0];
    // The daemon starts anyway.
    if (program?.includes('/') && !(await isThere(program))) {
      const message = `notice.command: ${program} does not exist, so nobody is notified of a waiting device.`;
      return [{ check: 'configuration', verdict: 'warning', message }];
    }
    return (await isThere(paths.config))
      ? `${paths.config} can be used.`
      : 'There is no config.json: the defaults apply.';
  });
  await find('listeners', () => examineListeners(homePath, readable, paths));
  if (isNew) {
    await find('ca key', async () => {
      // Problems with its files were already reported.
      if (!config || (await unusableTokenFiles(config)).length > 0) return [];
      const place = await tryToken(config, homePath);
      return place ? takesPin(place) : [];
    });
    return findings;
  }
  if (!(await isThere(paths.path))) return findings;
  await find('disk', () => examineSpace(paths));
  await find('backup', () => examineBackups(config, paths, now));
  let secrets: (SecretReader & { close(): Promise<void> }) | undefined;
  await find('secrets', async () => {
    // Its problems were already reported.
    if (!config) return [];
    secrets = await readSecrets(paths, config);
    const names = await secrets.list();
    for (const name of names) await secrets.read(name);
    return `All ${names.length} secrets open under the master key (${config.masterKey.from}).`;
  });
  const before = findings.length;
  try {
    await find('registry', () =>
      lookAtRegistry(paths, config, async (registry) => {
        // It may be looked at anew.
        findings.splice(before);
        await examineRegistry(registry, { paths, config, secrets, now, find });
        return [];
      }),
    );
    await find('fleet', () => examineFleet(config));
    // Last, because it changes what programs that are started later trust.
    await find('quic', async () => examineQuic(config));
  } finally {
    await secrets?.close();
  }
  return findings;
}

async function examineFolder(homePath: string, { path }: DaemonPaths, isNew: boolean): Promise<string> {
  await mustBePrivate(homePath);
  if (isNew) return `No daemon was started in ${homePath} yet. The first start creates it.`;
  if (await isThere(path)) return `${path} is private to its user.`;
  throw new IdentityError('STORE_FAILED', `${path} does not exist.`, { about: 'home' });
}

async function examineListeners(
  homePath: string,
  config: DaemonConfig | undefined,
  { adminSocket }: DaemonPaths,
): Promise<string | Finding[]> {
  if (!config) return [];
  const runs = await answers(adminSocket);
  const problems = await unusablePlaces(config, runs ? await placesNow(homePath) : []);
  if (problems.length > 0) return problems.map((error) => problemOf('listeners', error));
  return runs
    ? 'The daemon is running, and every configured port is its own or free.'
    : 'Every configured port is free.';
}

/** For a running daemon. */
async function placesNow(homePath: string): Promise<Place[]> {
  const { config } = await findDaemon(homePath);
  // A configuration that was damaged since says nothing about the running daemon.
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
  // Problems of the configuration were already reported.
  if (!config) return [];
  if (!config.quic.enabled) return 'QUIC is switched off in the configuration.';
  const problem = quicProblem();
  if (!problem) return 'The library of QUIC loads.';
  return [{ check: 'quic', verdict: 'warning', message: withoutQuic(problem).message }];
}
