// What this machine keeps as a device: its identity and what it is paired with, sealed in the home.

import { access } from 'node:fs/promises';
import {
  FilesystemSecretStore,
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
  const masterKey = await masterKeyFromFile({ path: home.deviceMasterKey });
  return FilesystemSecretStore.open({ path: home.deviceSecrets, masterKey });
}

/**
 * The daemon this device is paired with.
 * @param reference which one, when there are several.
 * @param option that names it.
 * @throws NOT_PAIRED; USAGE when there are several and none was named.
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
  if (reference === undefined && paired.length > 1) {
    const list = paired.map((each) => `${each.daemonId} at ${each.nodeAddress}`).join(', ');
    throw new CliError(
      'USAGE',
      `This device is paired with several daemons: ${list}. Name one: ${option} ID`,
    );
  }
  if (reference === undefined) return paired[0]!;
  const id = await resolveId(reference, {
    noun: 'daemon',
    notFound: 'NOT_PAIRED',
    list: followUp(cli, 'node status'),
    ids: () => paired.map((each) => each.daemonId),
  });
  const chosen = paired.find((each) => each.daemonId === id);
  if (chosen) return chosen;
  throw new IdentityError(
    'NOT_PAIRED',
    `This device is not paired with the daemon ${id}. It is with: ${paired.map((each) => each.daemonId).join(', ')}.`,
  );
}

async function pairedEnrollments(home: Home): Promise<PairedEnrollment[]> {
  // A question must not leave a new store behind.
  try {
    await access(home.deviceSecrets);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    // It may well be paired: opening says what is wrong.
  }
  const secrets = await openDeviceStore(home);
  try {
    return (await loadEnrollments(secrets)).filter((each) => each.state === 'paired');
  } finally {
    await secrets.close();
  }
}
