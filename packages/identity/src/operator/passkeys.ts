// The operator's passkeys: WebAuthn credentials with which a person confirms single acts in the console. The registry
// has one list of them; the audit has a row for each that comes or goes.

import type { AuditEvent } from '../audit/entry.ts';
import type { Clock } from '../clock.ts';
import { IdentityError } from '../errors.ts';
import type { Actor } from '../registry/actor.ts';
import type { Registry, RegistryReads, RegistryTransaction } from '../registry/port.ts';
import { transactBy } from '../registry/transact-by.ts';
import { parseVisibleText } from '../visible-text.ts';

export interface Passkey {
  /** Id of the credential, base64url. */
  readonly id: string;
  /** COSE key, base64url. */
  readonly publicKey: string;
  /** The operator's name for it. */
  readonly name: string;
  readonly createdAtMs: number;
  /** How browsers reach it, with commas between them: `internal`, `usb`. */
  readonly transports: string;
}

/** Most passkeys of the operator. */
const maxPasskeys = 16;
/** Characters of a passkey's name. */
const maxNameLength = 64;
/** Name of the setting: a JSON list of passkeys, in the order in which they came. */
export const passkeysSetting = 'operator_passkeys';
/** Name of the setting: how often each passkey was used, as it counts itself; by id. Not audited. */
const countersSetting = 'operator_passkey_counters';

export class OperatorPasskeys {
  readonly #options: { readonly registry: Registry; readonly clock: Clock };

  constructor(options: { readonly registry: Registry; readonly clock: Clock }) {
    this.#options = options;
  }

  list(): Promise<Passkey[]> {
    return readPasskeys(this.#options.registry);
  }

  /** @throws MESSAGE_INVALID for a name, a passkey that is there already, or too many */
  async add(
    made: Omit<Passkey, 'createdAtMs'> & { readonly counter: number },
    actor?: Actor,
  ): Promise<Passkey> {
    const { counter, ...given } = made;
    const at = this.#options.clock.now();
    const name = parseVisibleText('The name of a passkey', given.name, maxNameLength) || 'passkey';
    const passkey: Passkey = { ...given, name, createdAtMs: at.getTime() };
    return transactBy(this.#options, actor, async (tx, by) => {
      const before = await readPasskeys(tx);
      if (before.some(({ id }) => id === passkey.id))
        throw new IdentityError('MESSAGE_INVALID', 'This passkey is registered already.');
      if (before.length >= maxPasskeys)
        throw new IdentityError(
          'MESSAGE_INVALID',
          `There are at most ${maxPasskeys} passkeys. Remove one first.`,
        );
      await write(tx, [...before, passkey]);
      await putCounters(tx, new Map([...(await readCounters(tx)), [passkey.id, counter]]));
      await tx.appendAudit({
        at,
        ...addedRow(passkey),
        detail: { ...addedRow(passkey).detail, ...(by && { by }) },
      });
      return passkey;
    });
  }

  /** @throws NOTHING_FOUND */
  async remove(id: string, actor?: Actor): Promise<Passkey> {
    const at = this.#options.clock.now();
    return transactBy(this.#options, actor, async (tx, by) => {
      const before = await readPasskeys(tx);
      const passkey = before.find((each) => each.id === id);
      if (!passkey) throw new IdentityError('NOTHING_FOUND', 'There is no passkey with this id.');
      await removeAll(tx, before, [passkey], at, by && { by });
      return passkey;
    });
  }

  /**
   * Records a use for an act, and the passkey's own count of its uses.
   * @param use.act name of the call.
   * @throws PASSKEY_WRONG for a passkey that was removed meanwhile, and for a count that was there: a copy of it
   */
  async use(id: string, use: { readonly counter: number; readonly act: string }): Promise<void> {
    const { counter, act } = use;
    const at = this.#options.clock.now();
    await this.#options.registry.transact(async (tx) => {
      const passkey = (await readPasskeys(tx)).find((each) => each.id === id);
      if (!passkey) throw new IdentityError('PASSKEY_WRONG', 'This passkey was removed.');
      const counters = await readCounters(tx);
      const before = counters.get(id) ?? 0;
      // Passkeys that do not count always say 0.
      if ((counter > 0 || before > 0) && counter <= before) {
        throw new IdentityError(
          'PASSKEY_WRONG',
          'This passkey was used with an earlier count. It may have been copied.',
        );
      }
      if (counter > before) await putCounters(tx, new Map([...counters, [id, counter]]));
      const detail = { name: passkey.name, act };
      await tx.appendAudit({ at, action: 'operator.passkey_used', subject: id, detail });
    });
  }
}

/** For a restore: a passkey that was removed since the backup stays removed. */
export async function carryPasskeys(registry: Registry, before: RegistryReads, at: Date): Promise<void> {
  const kept = new Set((await readPasskeys(before)).map(({ id }) => id));
  await registry.transact(async (tx) => {
    const known = await readPasskeys(tx);
    const gone = known.filter(({ id }) => !kept.has(id));
    if (gone.length > 0) await removeAll(tx, known, gone, at, { restore: true });
  });
}

async function removeAll(
  tx: RegistryTransaction,
  before: readonly Passkey[],
  gone: readonly Passkey[],
  at: Date,
  detail: AuditEvent['detail'] | undefined,
): Promise<void> {
  await write(
    tx,
    before.filter((each) => !gone.includes(each)),
  );
  const counters = new Map(await readCounters(tx));
  for (const { id, name } of gone) {
    counters.delete(id);
    await tx.appendAudit({
      at,
      action: 'operator.passkey_removed',
      subject: id,
      detail: { name, ...detail },
    });
  }
  await putCounters(tx, counters);
}

/** The row has every fact of the passkey. */
function addedRow({ id, publicKey, name, createdAtMs, transports }: Passkey) {
  return {
    action: 'operator.passkey_added',
    subject: id,
    detail: { name, public_key: publicKey, created_at: createdAtMs, transports },
  } as const;
}

async function readPasskeys(reads: RegistryReads): Promise<Passkey[]> {
  return JSON.parse((await reads.setting(passkeysSetting)) || '[]') as Passkey[];
}

async function readCounters(reads: RegistryReads): Promise<ReadonlyMap<string, number>> {
  return new Map(Object.entries(JSON.parse((await reads.setting(countersSetting)) || '{}')));
}

const write = (tx: RegistryTransaction, passkeys: readonly Passkey[]) =>
  tx.putSetting(passkeysSetting, passkeysText(passkeys));

const putCounters = (tx: RegistryTransaction, counters: ReadonlyMap<string, number>) =>
  tx.putSetting(countersSetting, JSON.stringify(Object.fromEntries(counters)));

/** The setting's text; empty for none, as before the first one. */
export function passkeysText(passkeys: readonly Passkey[]): string {
  const rows = passkeys.map(({ id, publicKey, name, createdAtMs, transports }) => ({
    id,
    publicKey,
    name,
    createdAtMs,
    transports,
  }));
  return rows.length > 0 ? JSON.stringify(rows) : '';
}
