// Restores a backup in place of a stopped daemon's state, and keeps every refusal since the backup.

import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FilesystemSecretStore, IdentityError, IdentityManager, verifyAudit } from '@palyra/identity';
import { type AuthorityKeys, keyPlaceOf } from '@palyra/identity/keys';
import {
  carryOver,
  continueBundleSequence,
  putRestored,
  type Registry,
  type RegistryReader,
  type RegistryReads,
  revokeNamed,
  takeEveryGrant,
} from '@palyra/identity/registry';
import { codeOf, type DeviceId, type RunningClock, systemClock } from '@palyra/identity/values';
import { lookAtSqliteRegistry, openSqliteRegistry } from '@palyra/registry-sql';
import { type DaemonConfig, parseConfig, readConfig } from '../config.ts';
import { auditRow, type BackupSummary } from './backup.ts';
import { contentsOf, mustBeWhole } from './backup-contents.ts';
import { type BackupHead, readBackup, writeNew } from './backup-file.ts';
import type { BackupOpener } from './backup-key.ts';
import { openCaKeys } from './ca-key.ts';
import { withFileErrors } from './file-error.ts';
import { readFleetFile } from './fleet-file.ts';
import { rememberConfig, restoredFolder, takeHome } from './home.ts';
import { openMasterKey } from './master-key.ts';
import { type DaemonPaths, daemonPaths, withConfig } from './paths.ts';
import { mustBeInFile } from './registry-place.ts';

/** With the passphrase of the backup, or the identities of one of its recipients. */
export type RestoreOptions = BackupOpener & {
  /** Path of the backup. */
  readonly file: string;
  /** A configuration outside the home for the next start. Default: the one in the backup becomes config.json. */
  readonly configFile?: string;
  /**
   * Devices of the backup that were revoked after it was made, each by its id or enough of its beginning or end; `none`
   * when the operator knows that there were none. Undefined only if the replaced registry has this information.
   */
  readonly revokedSince?: readonly string[] | 'none';
  /** Ids of devices revoked after the backup, including ones that it does not know. Default: none. */
  readonly revokedLater?: readonly DeviceId[];
  /** Default: the system's. */
  readonly clock?: RunningClock;
};

export interface RestoreSummary extends BackupSummary {
  /** Revoked again, because the backup was older than their revocation. */
  readonly revoked: readonly DeviceId[];
  /** The folder with the previous state. */
  readonly replaced: string | undefined;
}

/**
 * Restores a backup in place of a stopped daemon's state. Later refusals are kept. Devices renewed later recover with
 * their identity key, devices paired later pair again, and open codes and requests end. The previous state is kept
 * beside it.
 * @throws BACKUP_UNREADABLE for a wrong passphrase, a damaged file, or an incomplete daemon; REVOCATIONS_UNKNOWN if
 *   nobody can say what was revoked later; ROTATION_CONFLICT if its root was retired later; HOME_IN_USE; STORE_FULL;
 *   STORE_FAILED.
 */
export async function restoreHome(homePath: string, options: RestoreOptions): Promise<RestoreSummary> {
  const clock = options.clock ?? systemClock;
  const home = await takeHome(homePath);
  const staging = join(homePath, 'daemon.restoring');
  try {
    return await withFileErrors(homePath, async () => {
      if (await readFleetFile(home))
        throw new IdentityError(
          'MESSAGE_INVALID',
          'The registry of this home is in PostgreSQL. Stop every daemon, restore the backup into a new home, and move its registry into an empty database (docs/fleet.md).',
          { about: 'home' },
        );
      await rm(staging, { recursive: true, force: true });
      await mkdir(staging, { mode: 0o700 });
      const paths = daemonPaths(homePath, 'daemon.restoring');
      const head = await readBackup(options.file, options, async (found, registry) => {
        await writeNew(paths.registry, registry);
        return found;
      });
      const madeAt = new Date(head.madeAtMs);
      const contents = <T>(work: () => Promise<T>) => contentsOf(options.file, work);
      const registry = await contents(() => openSqliteRegistry({ path: paths.registry, mustExist: true }));
      let secrets: FilesystemSecretStore | undefined;
      let keys: AuthorityKeys | undefined;
      try {
        // Comes before the master key, which may be created outside this folder.
        await contents(() => mustBeWhole(head, registry, paths));
        const config = await configOf(paths, head, options.configFile);
        const masterKey = await openMasterKey(config, paths, { mustExist: false });
        const store = await FilesystemSecretStore.open({ path: paths.secrets, masterKey });
        secrets = store;
        for (const [name, secret] of Object.entries(head.secrets)) {
          await store.write(name, Buffer.from(secret, 'base64'));
        }
        const authorityKeys = await openCaKeys(
          config,
          { ...paths, refusedPin: home.refusedPin },
          store,
          registry,
        );
        keys = authorityKeys;
        const identity = await contents(() =>
          IdentityManager.open({ secrets: store, registry, authorityKeys, clock }),
        );
        const revoked = await refuseAgain(identity, head, home.registry, options);
        await contents(() => identity.desk.endForRestore());
        await contents(() => markRestored(registry, head, revoked.length, clock.now()));
        const { devices } = await registry.counts();
        const caKeys = await keyPlaceOf(registry);
        await registry.close();
        await store.close();
        home.release();
        const replaced = await putInPlace(homePath, staging, clock.now());
        const { daemonId, trustDomain } = head;
        return { madeAt, daemonId, trustDomain, devices, caKeys, revoked, replaced };
      } finally {
        await keys?.close();
        await registry.close();
        await secrets?.close();
      }
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
    home.release();
  }
}

async function configOf(
  paths: DaemonPaths,
  { config: stored }: BackupHead,
  elsewhere: string | undefined,
): Promise<DaemonConfig> {
  if (elsewhere !== undefined) {
    await rememberConfig(withConfig(paths, elsewhere));
    const config = await readConfig(elsewhere, { mustExist: true });
    mustBeInFile(config, 'A restore');
    return config;
  }
  const config = parseConfig(stored, 'The configuration in the backup');
  await writeFile(paths.config, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 });
  return config;
}

/** @returns the devices that were revoked again. @throws REVOCATIONS_UNKNOWN */
async function refuseAgain(
  restored: IdentityManager,
  head: BackupHead,
  replacedPath: string,
  { revokedSince, revokedLater }: RestoreOptions,
): Promise<DeviceId[]> {
  const named = revokedSince === undefined || revokedSince === 'none' ? [] : revokedSince;
  const ids = [...(await devicesNamed(restored.registry, named)), ...(revokedLater ?? [])];
  const { revoked, doubt } = await readReplaced(restored, head, replacedPath);
  if (doubt !== undefined) {
    if (revokedSince === undefined && revokedLater === undefined)
      throw revocationsUnknown(new Date(head.madeAtMs), doubt);
    await takeEveryGrant(restored);
  }
  return [...revoked, ...(await revokeNamed(restored, ids))];
}

/** @throws DEVICE_NOT_FOUND, because a mistyped id would bring the intended device back. */
async function devicesNamed(registry: RegistryReads, named: readonly string[]): Promise<DeviceId[]> {
  if (named.length === 0) return [];
  const ids: DeviceId[] = [];
  for (let after = ''; ; after = ids.at(-1) ?? '') {
    const page = await registry.devices({ limit: devicesAtOnce, after });
    for (const { id } of page) ids.push(id);
    if (page.length < devicesAtOnce) break;
  }
  return named.map((each) => {
    const wanted = each.toUpperCase();
    const found =
      wanted.length < shortestReference
        ? []
        : ids.filter((id) => id.startsWith(wanted) || id.endsWith(wanted));
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return only;
    throw new IdentityError(
      'DEVICE_NOT_FOUND',
      found.length > 1
        ? `"${each}" is ${found.length} devices of the backup: ${found.join(', ')}. Give more characters of the id. Nothing was changed.`
        : `"${each}" is not a device in the backup: give its id, or at least ${shortestReference} characters of its beginning or end. Nothing was changed.`,
      found.length > 1 ? {} : { about: 'backup' },
    );
  });
}

const devicesAtOnce = 500;
const shortestReference = 4;

interface Evidence {
  readonly revoked: readonly DeviceId[];
  /** The reason why the replaced registry alone is not enough. */
  readonly doubt: string | undefined;
}

/**
 * Takes over the refusals of the replaced registry. It is complete evidence if it belongs to this daemon, is intact, and
 * continues from the backup. A registry that diverged earlier still has valid refusals; an older one has none.
 */
async function readReplaced(restored: IdentityManager, head: BackupHead, path: string): Promise<Evidence> {
  let isTaken = false;
  try {
    return await lookAtSqliteRegistry({ path }, async (before) => {
      const wrong = await faultOf(before, head);
      if (wrong !== undefined) return { revoked: [], doubt: wrong };
      const history = await historyOf(restored.registry, head, before);
      isTaken = true;
      await restored.revocationLists.continueFrom(before);
      await continueBundleSequence(restored.registry, before);
      const revoked = history === 'older' ? [] : await carryOver(restored, before, history);
      return { revoked, doubt: doubts[history] };
    });
  } catch (error) {
    // An error from here on fails the restore, because the data read so far must not count as complete.
    if (isTaken || !(error instanceof IdentityError)) throw error;
    return { revoked: [], doubt: `cannot be read (${error.code})` };
  }
}

const doubts = {
  newer: undefined,
  older: 'is older than the backup',
  another: 'was itself restored from an older backup',
};

/** Whether the registry continues from the backup, is older, or diverged before it. */
async function historyOf(
  restored: RegistryReads,
  { audit }: BackupHead,
  before: RegistryReader,
): Promise<keyof typeof doubts> {
  if ((await auditRow(before, audit.seq))?.hash === audit.hash) return 'newer';
  const { seq, hash } = await before.auditHead();
  return seq < audit.seq && (await auditRow(restored, seq))?.hash === hash ? 'older' : 'another';
}

async function faultOf(before: RegistryReader, { daemonId }: BackupHead): Promise<string | undefined> {
  if ((await before.setting('daemon_id')) !== daemonId) return 'belongs to another daemon, or to none';
  const verdict = await verifyAudit(before);
  return verdict.ok ? undefined : `is not intact (${verdict.problem})`;
}

async function markRestored(registry: Registry, head: BackupHead, revoked: number, now: Date): Promise<void> {
  const restored = { atMs: now.getTime(), madeAtMs: head.madeAtMs };
  await registry.transact(async (tx) => {
    await putRestored(tx, restored);
    await tx.appendAudit({
      at: now,
      action: 'daemon.restored',
      subject: head.daemonId,
      detail: {
        backupMadeAt: new Date(head.madeAtMs).toISOString(),
        made_at: restored.madeAtMs,
        revokedAgain: revoked,
      },
    });
  });
}

/** The entries of a home that was only locked. */
const notState: ReadonlySet<string> = new Set(['lock', 'lock.json', 'lock-journal']);

/** Between the renames there is no daemon folder. After a kill, the next start continues (`takeHome`). */
async function putInPlace(homePath: string, staging: string, now: Date): Promise<string | undefined> {
  const present = join(homePath, 'daemon');
  const before = join(homePath, `daemon.before-restore-${now.getTime()}`);
  const complete = join(homePath, restoredFolder);
  await rename(staging, complete);
  const hadState = (await readdir(present)).some((name) => !notState.has(name));
  try {
    if (hadState) await rename(present, before);
    else await rm(present, { recursive: true });
  } catch (error) {
    // The previous state is still in its place, and stays there.
    await rm(complete, { recursive: true, force: true });
    if (codeOf(error) !== 'EBUSY') throw error;
    throw new IdentityError(
      'STORE_FAILED',
      `${present} cannot be replaced: a disk is mounted there. Nothing was changed. Mount it at ${homePath} instead, with the folder daemon in it, and restore again.`,
      { cause: error },
    );
  }
  await rename(complete, present);
  return hadState ? before : undefined;
}

function revocationsUnknown(madeAt: Date, doubt: string): IdentityError {
  return new IdentityError(
    'REVOCATIONS_UNKNOWN',
    `The backup was made at ${madeAt.toISOString()}, and the registry it would replace ${doubt}: a device that was revoked since would come back.`,
  );
}
