// The number of the trust bundle as it is published (SPIFFE Trust Domain and Bundle 4.1.1): larger with every change of it, so
// that a reader knows the newer of two.

import { hash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { readRestored } from '../fleet/restored.ts';
import type { Registry, RegistryReads } from '../registry/port.ts';

const settingName = 'bundle_sequence';

interface Stored {
  readonly sequence: number;
  /** What the number is of. */
  readonly sha256: string;
}

export interface PublishedBundle {
  readonly sequence: number;
  /** Every root that counts, DER. */
  readonly roots: readonly Uint8Array[];
}

/** Gives roots that have changed their number. */
export async function publishedBundle(registry: Registry, clock: Clock): Promise<PublishedBundle> {
  const present = await look(registry);
  if (present.isNumbered) return present;
  return registry.transact(async (tx) => {
    const { roots, sha256, ...known } = await look(tx);
    if (known.isNumbered) return { roots, sequence: known.sequence };
    // At least the time: a restored registry does not know which numbers came after the backup.
    const sequence = Math.max(known.sequence + 1, clock.now().getTime());
    await tx.putSetting(settingName, JSON.stringify({ sequence, sha256 } satisfies Stored));
    return { roots, sequence };
  });
}

interface Look extends PublishedBundle {
  readonly sha256: string;
  /** Whether `sequence` is of these roots, or of those before. */
  readonly isNumbered: boolean;
}

async function look(reads: Pick<RegistryReads, 'authorities' | 'setting'>): Promise<Look> {
  const roots = (await reads.authorities())
    .filter(({ tier, state }) => tier === 'root' && state !== 'retired')
    .map(({ der }) => der);
  // The bundle of a backup may have had its number before others that are lost.
  const restored = Buffer.from(JSON.stringify((await readRestored(reads)) ?? {}));
  const sha256 = hash('sha256', Buffer.concat([...roots, restored]));
  const stored = await read(reads);
  return { roots, sha256, sequence: stored?.sequence ?? 0, isNumbered: stored?.sha256 === sha256 };
}

/** After a restore: no number of the registry that is replaced comes again. */
export async function continueBundleSequence(
  registry: Registry,
  before: Pick<RegistryReads, 'setting'>,
): Promise<void> {
  const used = await read(before);
  if (!used) return;
  await registry.transact(async (tx) => {
    const known = await read(tx);
    if (used.sequence > (known?.sequence ?? 0))
      await tx.putSetting(
        settingName,
        JSON.stringify({ sequence: used.sequence, sha256: '' } satisfies Stored),
      );
  });
}

async function read(reads: Pick<RegistryReads, 'setting'>): Promise<Stored | undefined> {
  const text = await reads.setting(settingName);
  return text ? JSON.parse(text) : undefined;
}
