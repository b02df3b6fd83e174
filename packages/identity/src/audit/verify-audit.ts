// Verifies a registry: the audit chain is complete, and the tables match its rows.

import { hash } from 'node:crypto';
import type { Registry, RegistryReader } from '../registry/port.ts';
import { AuditedState } from './audited-state.ts';
import { type Difference, differencesOf, differencesOfTheRest } from './differences.ts';
import { type AuditRow, type AuditVerdict, verifyAuditChain } from './entry.ts';

const rowsPerPart = 200_000;
const maxDifferences = 1000;
const shownDifferences = 20;

export type RegistryVerdict =
  | Extract<AuditVerdict, { ok: true }>
  /** `brokenAt` 0: the chain is intact, but the tables do not match it. */
  | (Extract<AuditVerdict, { ok: false }> & { readonly differences: readonly Difference[] });

/**
 * Verifies a snapshot of a registry. Reads every row, in bounded memory.
 * @param options.rowsPerPart audit rows per part. The state of one part is held in memory, and the audit is read once
 *   for each part. Default 200,000: about 20 to 40 MiB.
 * @param options.signal ends the check with its reason.
 * @returns at most 1000 differences.
 */
export async function verifyAudit(
  registry: Registry | RegistryReader,
  options: { readonly rowsPerPart?: number; readonly signal?: AbortSignal } = {},
): Promise<RegistryVerdict> {
  const perPart = options.rowsPerPart ?? rowsPerPart;
  const { signal } = options;
  if (!('snapshot' in registry)) return verify(registry, perPart, signal);
  const now = await registry.snapshot();
  try {
    return await verify(now, perPart, signal);
  } finally {
    await now.close();
  }
}

async function verify(
  registry: RegistryReader,
  perPart: number,
  signal: AbortSignal | undefined,
): Promise<RegistryVerdict> {
  const head = await registry.auditHead();
  const newest = (await registry.audit({ limit: 1 }))[0]?.seq ?? 0;
  if (newest > head.seq) {
    const problem = `row ${newest} was added from outside`;
    return { ok: false, rows: head.seq, brokenAt: newest, problem, differences: [] };
  }
  const parts = Math.max(1, Math.ceil(head.seq / perPart));
  const first = new AuditedState(0, parts);
  const rows = applying(first, registry.auditRows(), signal);
  const chain = await verifyAuditChain(rows, head, (data) => hash('sha256', data));
  if (!chain.ok) return { ...chain, differences: [] };
  const differences: Difference[] = [];
  for await (const difference of allDifferences(registry, first, parts)) {
    signal?.throwIfAborted();
    differences.push(difference);
    if (differences.length === maxDifferences) break;
  }
  if (differences.length === 0) return chain;
  return { ok: false, rows: chain.rows, brokenAt: 0, problem: describe(differences), differences };
}

async function* allDifferences(
  registry: RegistryReader,
  first: AuditedState,
  parts: number,
): AsyncIterable<Difference> {
  let revocations = 0;
  const counted = (more: number) => {
    revocations += more;
  };
  for (let part = 0; part < parts; part += 1) {
    const state = part === 0 ? first : new AuditedState(part, parts);
    if (part > 0) for await (const row of registry.auditRows()) state.apply(row);
    yield* differencesOf(registry, state, counted);
    state.forget();
  }
  yield* differencesOfTheRest(registry, first, revocations);
}

async function* applying(
  state: AuditedState,
  rows: AsyncIterable<AuditRow>,
  signal: AbortSignal | undefined,
): AsyncIterable<AuditRow> {
  for await (const row of rows) {
    signal?.throwIfAborted();
    state.apply(row);
    yield row;
  }
}

function describe(differences: readonly Difference[]): string {
  const shown = differences.slice(0, shownDifferences).map(describeDifference).join('; ');
  const more = differences.length - shownDifferences;
  return more > 0 ? `${shown}; and ${more} more` : shown;
}

/** One line of text. */
export function describeDifference({ kind, id, fact, table, audit }: Difference): string {
  const told = (value: string | undefined) => value ?? 'nothing';
  return `${kind} ${id}: the table says ${fact} ${told(table)}, the audit says ${told(audit)}`;
}
