// The sealed store of this machine as a device: its identity and its daemons.

import { FilesystemSecretStore, IdentityError } from '@palyra/identity';
import {
  defaultDaemon,
  type Enrollment,
  loadEnrollments,
  nodeEndpoints,
  type PairedEnrollment,
} from '@palyra/identity/device';
import { FilesystemSecretReader, hasSecretStore } from '@palyra/identity/keys';
import { type Cli, followUp } from './cli.ts';
import { deviceMasterKey } from './device-master-key.ts';
import { CliError } from './failure.ts';
import type { Home } from './home.ts';
import { printable } from './printable.ts';
import { resolveId } from './reference.ts';

/** The ways to name a daemon. */
export const daemonArgument = 'its id, its trust domain, or the SHA-256 of its root';
export const daemonOption = `which daemon, when this device is paired with several: ${daemonArgument} (default: palyra node use)`;

/** Opens or creates the store. Close it afterwards. */
export async function openDeviceStore(home: Home): Promise<FilesystemSecretStore> {
  // If the key is lost, the store must not mix secrets sealed under it with secrets sealed under a new key.
  const mustExist = await hasSecretStore(home.deviceSecrets);
  const masterKey = await deviceMasterKey(home, { mustExist });
  return FilesystemSecretStore.open({ path: home.deviceSecrets, masterKey });
}

/** Opens the store for reading only: creates and repairs nothing. Close it afterwards. */
async function readDeviceStore(home: Home): Promise<FilesystemSecretReader> {
  const masterKey = await deviceMasterKey(home, { mustExist: true });
  return FilesystemSecretReader.open({ path: home.deviceSecrets, masterKey });
}

/**
 * The daemon this device is paired with.
 * @param reference names one of several, as in `chooseDaemon`; undefined: the default.
 * @param option the option that takes the reference.
 * @throws NOT_PAIRED; USAGE as `chooseDaemon`.
 */
export async function pairedEnrollment(
  cli: Cli,
  reference: string | undefined,
  option = '--daemon',
): Promise<PairedEnrollment> {
  const { paired, defaultRoot } = await pairedEnrollments(cli.home);
  if (paired.length === 0) {
    throw new IdentityError(
      'NOT_PAIRED',
      `This device is not paired with any daemon (home ${cli.home.path}).`,
    );
  }
  return chooseDaemon(cli, paired, reference ?? defaultRoot, option);
}

/** 64 hex digits are no id. */
const rootReference = /^[0-9a-f]{64}$/i;

/**
 * Chooses one record by the id, trust domain or root of its daemon. A daemon chooses its own id and trust domain, so
 * two daemons may use the same ones.
 * @param option the option that takes the reference in a command.
 * @throws NOT_PAIRED; USAGE when there is no reference, or when it fits several daemons.
 */
export async function chooseDaemon<E extends Enrollment>(
  cli: Cli,
  records: readonly E[],
  reference: string | undefined,
  option: string,
): Promise<E> {
  if (reference === undefined) {
    const [only, ...others] = records;
    if (only && others.length === 0) return only;
    const list = records.map((each) => described(each, records)).join(', ');
    const haveIds = new Set(records.map(({ daemonId }) => daemonId)).size === records.length;
    const ways = haveIds ? `${option} ID, or ${option} ROOT` : `${option} ROOT`;
    const always = followUp(cli, `node use ${haveIds ? 'ID' : 'ROOT'}`);
    throw new CliError(
      'USAGE',
      `This device is paired with several daemons: ${list}. Name one: ${ways}. Or make one the default: ${always}`,
    );
  }
  if (rootReference.test(reference)) {
    const root = reference.toLowerCase();
    const bound = records.find((each) => each.root === root);
    if (bound) return bound;
    throw notPairedWith(`a daemon with the root ${root}`, records);
  }
  const claiming = await claimingToBe(cli, records, reference);
  const roots = new Set(claiming.map((each) => each.root));
  const [first] = claiming;
  if (first && roots.size === 1) return first;
  if (!first) throw notPairedWith(`the daemon ${printable(reference)}`, records);
  throw new CliError(
    'USAGE',
    `${roots.size} daemons that this device knows call themselves ${printable(reference)}: ${claiming.map((each) => `root ${each.root} at ${each.address}`).join(', ')}. One of them may be an impostor. Name the right one by the SHA-256 of its root, which the daemon prints at its start.`,
  );
}

/** Matches trust domain and id together: a daemon may use the id of another daemon as its trust domain. */
async function claimingToBe<E extends Enrollment>(
  cli: Cli,
  records: readonly E[],
  reference: string,
): Promise<E[]> {
  const [domain, part] = [reference.toLowerCase(), reference.toUpperCase()];
  const hasDomain = (each: E) => each.trustDomain === domain;
  if (records.some(hasDomain)) {
    return records.filter(
      (each) => hasDomain(each) || each.daemonId.startsWith(part) || each.daemonId.endsWith(part),
    );
  }
  const id = await resolveId(reference, {
    noun: 'daemon',
    notFound: 'NOT_PAIRED',
    list: followUp(cli, 'node status'),
    ids: () => new Set(records.map((each) => each.daemonId)),
  });
  return records.filter((each) => each.daemonId === id);
}

/** Adds the root when several daemons share the id. */
function described(each: Enrollment, all: readonly Enrollment[]): string {
  const at = each.state === 'paired' ? nodeEndpoints(each)[0] : each.address;
  const isAlone = all.every((other) => other.root === each.root || other.daemonId !== each.daemonId);
  return `${each.daemonId} at ${at}${isAlone ? '' : ` with root ${each.root}`}`;
}

function notPairedWith(what: string, records: readonly Enrollment[]): CliError {
  const list = records.map((each) => described(each, records)).join(', ');
  return new CliError('NOT_PAIRED', `This device is not paired with ${what}. Its daemons: ${list}.`);
}

async function pairedEnrollments(
  home: Home,
): Promise<{ paired: PairedEnrollment[]; defaultRoot: string | undefined }> {
  if (!(await hasSecretStore(home.deviceSecrets))) return { paired: [], defaultRoot: undefined };
  const secrets = await readDeviceStore(home);
  try {
    const paired = (await loadEnrollments(secrets)).filter((each) => each.state === 'paired');
    return { paired, defaultRoot: await defaultDaemon(secrets, paired) };
  } finally {
    await secrets.close();
  }
}
