// That this daemon was put back to an earlier state. What happened in between it does not know, and must not hold against
// its devices.

import type { RegistryReads, RegistryTransaction } from '../registry/port.ts';

export interface Restored {
  readonly atMs: number;
  /** When the backup was made. */
  readonly madeAtMs: number;
}

/** The reason of a revocation that has none. */
export const restoreReason = 'revoked before the restore';

const settingName = 'restored';

/** As part of the change that restores. */
export async function putRestored(tx: RegistryTransaction, restored: Restored): Promise<void> {
  await tx.putSetting(settingName, JSON.stringify(restored));
}

/** The last time; undefined for a daemon that never was. */
export async function readRestored(reads: Pick<RegistryReads, 'setting'>): Promise<Restored | undefined> {
  const text = await reads.setting(settingName);
  return text ? (JSON.parse(text) as Restored) : undefined;
}
