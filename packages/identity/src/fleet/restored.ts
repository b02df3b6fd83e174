// Records that this daemon was restored from a backup. The daemon does not know what happened in between, and must not
// hold that against its devices.

import type { RegistryReads, RegistryTransaction } from '../registry/port.ts';

export interface Restored {
  readonly atMs: number;
  /** The time of the backup. */
  readonly madeAtMs: number;
}

/** Given where the reason of a revocation is not known. */
export const restoreReason = 'revoked before the restore';

const settingName = 'restored';

/** As part of the change that restores. */
export async function putRestored(tx: RegistryTransaction, restored: Restored): Promise<void> {
  await tx.putSetting(settingName, JSON.stringify(restored));
}

/** The last restore; undefined when there was none. */
export async function readRestored(reads: Pick<RegistryReads, 'setting'>): Promise<Restored | undefined> {
  const text = await reads.setting(settingName);
  return text ? JSON.parse(text) : undefined;
}
