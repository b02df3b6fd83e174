// The sequence number of the published trust bundle (SPIFFE Trust Domain and Bundle 4.1.1). It increases with every
// change, so that a reader can tell the newer of two bundles.

import { hash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { readRestored } from '../fleet/restored.ts';
import type { Registry, RegistryReads } from '../registry/port.ts';

const settingName = 'bundle_sequence';

interface Stored {
  readonly sequence: number;
  /** The roots that the number belongs to. */
  readonly sha256: string;
}

export interface PublishedBundle {
  readonly sequence: number;
  /** Every trusted root, DER. */
  readonly roots: readonly Uint8Array[];
}

/** Assigns a new number if the roots have changed. */
export async function publishedBundle(registry: Registry, clock: Clock): Promise<PublishedBundle> {
  const present = await look(registry);
  if (present.isNumbered) return present;
  return registry.transact(async (tx) => {
    const { roots, sha256, ...known } = await look(tx);
    if (known.isNumbered) return { roots, sequence: known.sequence };
    // At least the present time, because a restored registry does not know the numbers used after the backup.
    const sequence = Math.max(known.sequence + 1, clock.now().getTime());
    await tx.putSetting(settingName, JSON.stringify({ sequence, sha256 } satisfies Stored));
    return { roots, sequence };
  });
}

interface Look extends PublishedBundle {
  readonly sha256: string;
  /** Whether `sequence` belongs to these roots, or to earlier ones. */
  readonly isNumbered: boolean;
}

async function look(reads: Pick<RegistryReads, 'authorities' | 'setting'>): Promise<Look> {
  const roots = (await reads.authorities())
    .filter(({ tier, state }) => tier === 'root' && state !== 'retired')
    .map(({ der }) => der);
  // The bundle of a backup may have an older number than later bundles that are lost.
  const restored = Buffer.from(JSON.stringify((await readRestored(reads)) ?? {}));
  const sha256 = hash('sha256', Buffer.concat([...roots, restored]));
  const stored = await read(reads);
  return { roots, sha256, sequence: stored?.sequence ?? 0, isNumbered: stored?.sha256 === sha256 };
}

/** Called after a restore, so that no number of the replaced registry is used again. */
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
