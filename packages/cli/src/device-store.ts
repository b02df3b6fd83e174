// What this machine keeps as a device: its identity and what it is paired with, sealed in the home.

import {
  type Enrollment,
  FilesystemSecretReader,
  FilesystemSecretStore,
  hasSecretStore,
  IdentityError,
  loadEnrollments,
  masterKeyFromFile,
  type PairedEnrollment,
} from '@palyra/identity';
import { type Cli, followUp } from './cli.ts';
import { CliError } from './failure.ts';
import type { Home } from './home.ts';
import { resolveId } from './reference.ts';

/** Opens it, or makes it. Close it afterwards. */
export async function openDeviceStore(home: Home): Promise<FilesystemSecretStore> {
  // What is sealed under a key that is lost must not be joined by what is sealed under a new one.
  const mustExist = await hasSecretStore(home.deviceSecrets);
  const masterKey = await masterKeyFromFile({ path: home.deviceMasterKey, mustExist });
  return FilesystemSecretStore.open({ path: home.deviceSecrets, masterKey });
}

/** For who only looks: nothing is made or put right. Close it afterwards. */
async function readDeviceStore(home: Home): Promise<FilesystemSecretReader> {
  const masterKey = await masterKeyFromFile({ path: home.deviceMasterKey, mustExist: true });
  return FilesystemSecretReader.open({ path: home.deviceSecrets, masterKey });
}

/**
 * The daemon this device is paired with.
 * @param reference which one, when there are several: an id, or the SHA-256 of a root.
 * @param option that names it.
 * @throws NOT_PAIRED; USAGE as `chooseDaemon`.
 */
export async function pairedEnrollment(
  cli: Cli,
  reference: string | undefined,
  option = '--daemon',
): Promise<PairedEnrollment> {
  const paired = await pairedEnrollments(cli.home);
  if (paired.length === 0) {
    throw new IdentityError(
      'NOT_PAIRED',
      `This device is not paired with any daemon (home ${cli.home.path}). Pair it: ${followUp(cli, 'pair ADDRESS')}`,
    );
  }
  return chooseDaemon(cli, paired, reference, option);
}

/** 64 hex digits are no id. */
const rootReference = /^[0-9a-f]{64}$/i;

/**
 * One of several records, by the id of its daemon or by the root that it is bound to. An id is what a daemon says of itself,
 * so two of them may have one.
 * @param option that names it in a command.
 * @throws NOT_PAIRED; USAGE when none was named, or the id is that of several.
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
    throw new CliError('USAGE', `This device is paired with several daemons: ${list}. Name one: ${ways}`);
  }
  if (rootReference.test(reference)) {
    const root = reference.toLowerCase();
    const bound = records.find((each) => each.root === root);
    if (bound) return bound;
    throw notPairedWith(`a daemon with the root ${root}`, records);
  }
  const id = await resolveId(reference, {
    noun: 'daemon',
    notFound: 'NOT_PAIRED',
    list: followUp(cli, 'node status'),
    ids: () => new Set(records.map((each) => each.daemonId)),
  });
  const claiming = records.filter((each) => each.daemonId === id);
  const roots = new Set(claiming.map((each) => each.root));
  if (roots.size === 1) return claiming[0]!;
  if (roots.size === 0) throw notPairedWith(`the daemon ${id}`, records);
  throw new CliError(
    'USAGE',
    `${roots.size} daemons that this device knows call themselves ${id}: ${claiming.map((each) => `root ${each.root} at ${each.address}`).join(', ')}. One of them may be an impostor. Name the one that is meant by the SHA-256 of its root, as its operator sees it at the start of the daemon.`,
  );
}

/** With the root where the id alone does not tell them apart. */
function described(each: Enrollment, all: readonly Enrollment[]): string {
  const at = each.state === 'paired' ? each.nodeAddress : each.address;
  const isAlone = all.every((other) => other.root === each.root || other.daemonId !== each.daemonId);
  return `${each.daemonId} at ${at}${isAlone ? '' : ` with root ${each.root}`}`;
}

function notPairedWith(what: string, records: readonly Enrollment[]): IdentityError {
  const list = records.map((each) => described(each, records)).join(', ');
  return new IdentityError('NOT_PAIRED', `This device is not paired with ${what}. It is with: ${list}.`);
}

async function pairedEnrollments(home: Home): Promise<PairedEnrollment[]> {
  if (!(await hasSecretStore(home.deviceSecrets))) return [];
  const secrets = await readDeviceStore(home);
  try {
    return (await loadEnrollments(secrets)).filter((each) => each.state === 'paired');
  } finally {
    await secrets.close();
  }
}
