// The audit log, with the names of the devices that its rows are about.

import { serialsIn } from '@palyra/identity/certificate';
import {
  type AuditRow,
  deviceNamed,
  type PairingRequest,
  parseActorName,
  type RegistryReads,
} from '@palyra/identity/registry';
import { type DeviceId, isUlid } from '@palyra/identity/values';
import { auditGuesses } from '@palyra/rpc/admin';
import { type GuessOutcome, guessOutcomes } from './guess-outcome.ts';
import { pageSize, parseFamily } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

export function auditMethods({
  identity: { registry },
  audit,
}: AdminServiceOptions): Methods<'listAudit' | 'verifyAudit'> {
  return {
    async listAudit({ limit, before, subject, family }) {
      const query = {
        limit: pageSize(limit),
        ...(before > 0n && { before: Number(before) }),
        ...(family && { family: parseFamily(family) }),
      };
      const names = new RowNames(registry);
      const answer = async (rows: readonly AuditRow[]) => ({
        entries: await Promise.all(rows.map((row) => toWireAudit(names, row))),
      });
      if (!subject) return answer(await registry.audit(query));
      const id = subject.toUpperCase();
      if (isUlid(id) && (await registry.device(id)))
        return answer(await registry.audit({ ...query, device: id }));
      for (const form of [subject, ...serialsIn(subject)]) {
        const rows = await registry.audit({ ...query, subject: form });
        if (rows.length > 0) return answer(rows);
      }
      return { entries: [] };
    },
    async verifyAudit() {
      const verdict = await audit.check();
      const rows = BigInt(verdict.rows);
      return verdict.ok
        ? { ok: true, rows, headHash: verdict.headHash }
        : { ok: false, rows, brokenAt: BigInt(verdict.brokenAt), problem: verdict.problem };
    },
  };
}

/** Most rows of one code: it was made, tried, and has ended. */
const rowsOfCode = 50;

export async function toWireAudit(names: RowNames, row: AuditRow) {
  const { deviceId, deviceName, byName } = await names.of(row);
  const guess = await names.guessOf(row);
  return {
    seq: BigInt(row.seq),
    atMs: BigInt(row.atMs),
    action: row.action,
    subject: row.subject,
    detailJson: row.detailJson,
    hash: row.hash,
    deviceId,
    deviceName,
    byName,
    ...(guess && { guess: auditGuesses.toWire(guess) }),
  };
}

/** The names for the ids in rows. Reads each device and each code once. */
export class RowNames {
  readonly #registry: RegistryReads;
  readonly #names = new Map<string, Promise<string>>();
  readonly #codes = new Map<string, Promise<readonly AuditRow[]>>();

  constructor(registry: RegistryReads) {
    this.#registry = registry;
  }

  async of(row: AuditRow): Promise<{ deviceId: string; deviceName: string; byName: string }> {
    const detail: { device?: unknown; by?: unknown } = JSON.parse(row.detailJson);
    const by = typeof detail.by === 'string' ? parseActorName(detail.by) : undefined;
    const actor = by && deviceNamed(by);
    const id = await this.#deviceOf(row, detail.device);
    const name = id && (await this.#nameOf(id));
    return {
      // A device that was never let in has a name of its own only.
      deviceId: name ? id : '',
      deviceName: name || (await this.#claimedName(row)),
      byName: actor ? await this.#nameOf(actor) : '',
    };
  }

  /** Undefined for a row that is not a guess at a code. */
  async guessOf(row: AuditRow): Promise<GuessOutcome | undefined> {
    if (row.action !== 'code.guessed') return undefined;
    const { subject } = row;
    const reading = this.#codes.get(subject) ?? this.#registry.audit({ subject, limit: rowsOfCode });
    this.#codes.set(subject, reading);
    const rows = await reading;
    return guessOutcomes(rows)[rows.findIndex(({ seq }) => seq === row.seq)];
  }

  async #deviceOf(row: AuditRow, device: unknown): Promise<DeviceId | undefined> {
    if (typeof device === 'string' && isUlid(device)) return device;
    if (!isUlid(row.subject)) return undefined;
    return isAboutPairing(row) ? (await this.#requestOf(row))?.deviceId : row.subject;
  }

  async #claimedName(row: AuditRow): Promise<string> {
    return (isAboutPairing(row) && (await this.#requestOf(row))?.name) || '';
  }

  async #requestOf({ subject }: AuditRow): Promise<PairingRequest | undefined> {
    const pairing = await this.#registry.pairing(subject);
    return pairing && 'request' in pairing ? pairing.request : undefined;
  }

  /** Empty for a device that the registry does not have. */
  #nameOf(id: DeviceId): Promise<string> {
    const known = this.#names.get(id) ?? this.#registry.device(id).then((device) => device?.name ?? '');
    this.#names.set(id, known);
    return known;
  }
}

const isAboutPairing = ({ action }: AuditRow): boolean => /^(?:code|request)\./.test(action);
