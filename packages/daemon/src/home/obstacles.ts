// Finds every problem with the files named in the configuration that would prevent a start, before anything is created.
// Each has its file and setting.

import { type FileHandle, open } from 'node:fs/promises';
import { IdentityError } from '@palyra/identity';
import { hasSecretStore } from '@palyra/identity/keys';
import { codeOf } from '@palyra/identity/values';
import { mustFit } from '../admin/listener.ts';
import type { DaemonConfig } from '../config.ts';
import { Notice } from '../notices/notice.ts';
import { withSetting } from '../setting.ts';
import { checkBackupKey } from './backup-schedule.ts';
import { mustGiveMasterKey } from './master-key.ts';
import type { DaemonPaths } from './paths.ts';
import { isShared } from './registry-place.ts';
import { openSharedKey, readUrl } from './shared-database.ts';

/** Creates nothing. @returns an error for each problem. */
export async function unusableSettings(config: DaemonConfig, paths: DaemonPaths): Promise<IdentityError[]> {
  const { command, webhook } = config.notice;
  const openNotice = async (notice: DaemonConfig['notice']) => {
    const opened = await Notice.open({ config: notice, daemonId: '', now: () => new Date(0), onError() {} });
    opened.close();
  };
  const looks: (() => unknown)[] = [
    () => mustFit(paths.adminSocket),
    // Opening the secrets reports problems with their key.
    async () => (await hasSecretStore(paths.secrets)) || (await mustGiveMasterKey(config)),
    async () => isShared(config) && (await readUrl(config)),
    async () =>
      isShared(config) &&
      config.masterKey.from === 'key-file' &&
      (await openSharedKey(paths, config, { mustExist: true })),
    () => openNotice({ command }),
    () => openNotice({ webhook }),
    async () => config.backup && (await checkBackupKey(config.backup)),
  ];
  return [...(await problemsOf(looks)), ...(await unusableTokenFiles(config))];
}

/** Checks the module and the PIN file of the CA's key. @returns an error for each problem. */
export function unusableTokenFiles({ caKey }: DaemonConfig): Promise<IdentityError[]> {
  if (!caKey) return Promise.resolve([]);
  return problemsOf([
    () => withSetting('caKey.module', () => mustBeReadable(caKey.module)),
    () => withSetting('caKey.pinFile', () => mustBeReadable(caKey.pinFile)),
  ]);
}

async function problemsOf(looks: readonly (() => unknown)[]): Promise<IdentityError[]> {
  const problems: IdentityError[] = [];
  for (const look of looks) {
    try {
      await look();
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      problems.push(error);
    }
  }
  return problems;
}

/** Combines the errors into one, with the code of the first. Its cause is an AggregateError. */
export function together(problems: readonly [IdentityError, ...IdentityError[]]): IdentityError {
  const [first] = problems;
  if (problems.length === 1) return first;
  return new IdentityError(first.code, problems.map(({ message }) => message).join('\n'), {
    cause: new AggregateError(problems),
  });
}

async function mustBeReadable(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path);
  } catch (cause) {
    const code = codeOf(cause);
    const why = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
    throw new IdentityError('STORE_FAILED', `${path} ${why}.`, { cause });
  }
  await file.close();
}
