// What the doctor says about scheduled backups.

import { access, constants, stat } from 'node:fs/promises';
import type { DaemonConfig } from '../config.ts';
import { BackupFolder } from './backup-folder.ts';
import { withFileErrors } from './file-error.ts';
import type { Finding } from './finding.ts';
import { lookAtRegistry } from './open-home.ts';
import type { DaemonPaths } from './paths.ts';

/** The key of the backups is examined with the configuration. */
export async function examineBackups(
  config: DaemonConfig | undefined,
  paths: DaemonPaths,
  now: Date,
): Promise<string | Finding[]> {
  const backup = config?.backup;
  if (!backup) return [];
  const { folder, everyMs } = backup;
  await withFileErrors(folder, async () => {
    await access(folder, constants.W_OK);
    if (!(await stat(folder)).isDirectory())
      throw Object.assign(new Error('it is no folder'), { code: 'ENOTDIR' });
  });
  const daemonId = await lookAtRegistry(paths, config, (opened) => opened.setting('daemon_id'));
  const newest =
    daemonId === undefined ? undefined : (await new BackupFolder(folder, daemonId).list()).at(-1);
  const warning = (message: string): Finding[] => [{ check: 'backup', verdict: 'warning', message }];
  if (!newest)
    return warning(
      `There is no backup of this daemon in ${folder} yet. A running daemon makes one within seconds.`,
    );
  const at = newest.at.toISOString();
  if (now.getTime() - newest.at.getTime() > 2 * everyMs)
    return warning(`The newest backup in ${folder} is from ${at}. The status of a running daemon says why.`);
  return `The newest backup in ${folder} is from ${at}.`;
}
