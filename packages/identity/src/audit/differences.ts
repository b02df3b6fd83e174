// Finds the differences between the tables and the audit log. Every such row was written from outside.

import { hash } from 'node:crypto';
import type { DeviceId } from '../device-id.ts';
import type { Pairing } from '../pairing/state.ts';
import { pageSize, rowsOf } from '../registry/pages.ts';
import type { RegistryReader } from '../registry/port.ts';
import { authorityFacts, certificateFacts, deviceFacts, type Facts, requestHash } from './audited-facts.ts';
import { endOf } from './audited-fleet.ts';
import type { AuditedState } from './audited-state.ts';

export interface Difference {
  readonly kind: 'device' | 'certificate' | 'pairing' | 'authority' | 'setting' | 'revocation' | 'ledger';
  /** The id of the row, or the name of the setting. */
  readonly id: string;
  /** The fact that differs. */
  readonly fact: string;
  /** Undefined if there is no value. */
  readonly table: string | undefined;
  readonly audit: string | undefined;
}

/** @param counted receives the number of revocations that this part must have. */
export async function* differencesOf(
  registry: RegistryReader,
  state: AuditedState,
  counted: (revocations: number) => void,
): AsyncIterable<Difference> {
  yield* devices(registry, state, counted);
  yield* certificates(registry, state, counted);
  yield* pairings(registry, state);
}

async function* devices(
  registry: RegistryReader,
  state: AuditedState,
  counted: (revocations: number) => void,
): AsyncIterable<Difference> {
  const missing = new Set(state.devices.keys());
  for await (const device of rowsOf((after) => registry.devices({ limit: pageSize, after }), 'id')) {
    const { id } = device;
    if (!state.holds(id)) continue;
    missing.delete(id);
    const audited = state.devices.get(id);
    yield* compare('device', id, deviceFacts(device), audited?.facts);
    if (audited?.revokedAtMs === undefined) continue;
    counted(1);
    yield* compareRevocation(
      id,
      await registry.revocationsOf({ deviceId: id, serial: undefined }),
      audited.revokedAtMs,
    );
  }
  for (const id of missing) yield* compare('device', id, undefined, state.devices.get(id)?.facts);
}

async function* certificates(
  registry: RegistryReader,
  state: AuditedState,
  counted: (revocations: number) => void,
): AsyncIterable<Difference> {
  const missing = new Set(state.certificates.keys());
  for await (const row of rowsOf((after) => registry.certificates({ limit: pageSize, after }), 'serial')) {
    const { serial, subject } = row;
    if (!state.holds(subject.kind === 'device' ? subject.id : serial)) continue;
    missing.delete(serial);
    const audited = state.certificates.get(serial);
    const deviceId = String(audited?.facts.device ?? '') as DeviceId;
    const end = audited && endOf(audited, state.devices.get(deviceId));
    yield* compare(
      'certificate',
      serial,
      { ...certificateFacts(row), state: row.state, der: hash('sha256', row.der) },
      audited && end && { ...audited.facts, state: end.state, der: audited.facts.fingerprint! },
    );
    if (end?.revokedAtMs === undefined) continue;
    counted(1);
    yield* compareRevocation(serial, await registry.revocationsOf({ deviceId, serial }), end.revokedAtMs);
  }
  for (const serial of missing)
    yield* compare('certificate', serial, undefined, state.certificates.get(serial)?.facts);
}

async function* pairings(registry: RegistryReader, state: AuditedState): AsyncIterable<Difference> {
  const missing = new Set(state.pairings.keys());
  for await (const pairing of rowsOf((after) => registry.allPairings({ limit: pageSize, after }), 'id')) {
    if (!state.holds(pairing.id)) continue;
    missing.delete(pairing.id);
    yield* compare('pairing', pairing.id, pairingFacts(pairing), state.pairings.get(pairing.id));
  }
  for (const id of missing) yield* compare('pairing', id, undefined, state.pairings.get(id));
}

function pairingFacts(pairing: Pairing): Facts {
  const { state, codeKind, createdAt, guessesLeft, guessesTaken, autoApprovedBy } = pairing;
  return {
    state,
    code_kind: codeKind,
    created_at: createdAt.getTime(),
    guesses_left: guessesLeft,
    guesses_taken: guessesTaken,
    ...(autoApprovedBy !== undefined && { auto_approved_by: autoApprovedBy }),
    ...('expiresAt' in pairing && { expires_at: pairing.expiresAt.getTime() }),
    ...('request' in pairing && pairing.request && { request: requestHash(pairing.request) }),
    ...('serial' in pairing && { serial: pairing.serial }),
    ...('reason' in pairing && { reason: pairing.reason }),
  };
}

/** Compares what exists once. @param revocations the number of revocations that the registry must have. */
export async function* differencesOfTheRest(
  registry: RegistryReader,
  state: AuditedState,
  revocations: number,
): AsyncIterable<Difference> {
  const missing = new Set(state.authorities.keys());
  for (const authority of await registry.authorities()) {
    missing.delete(authority.id);
    const audited = state.authorities.get(authority.id);
    yield* compare(
      'authority',
      authority.id,
      { ...authorityFacts(authority), der: hash('sha256', authority.der) },
      audited && { ...audited, der: audited.fingerprint! },
    );
  }
  for (const id of missing) yield* compare('authority', id, undefined, state.authorities.get(id));
  for (const name of [
    'daemon_id',
    'trust_domain',
    'authority_keys',
    'root_rotation',
    'restored',
    'operator_passkeys',
  ]) {
    const [table, audit] = [
      (await registry.setting(name)) || undefined,
      state.settings.get(name) || undefined,
    ];
    if (table !== audit) yield { kind: 'setting', id: name, fact: 'value', table, audit };
  }
  const [counts, rows] = [await registry.counts(), await registry.rowCounts()];
  yield* compare('ledger', 'counts', { devices: counts.devices }, { devices: rows.devices });
  yield* compare('revocation', 'all', { rows: rows.revocations }, { rows: revocations });
}

function* compareRevocation(
  id: string,
  rows: readonly { readonly at: Date }[],
  atMs: number,
): Iterable<Difference> {
  const facts = { rows: rows.length, ...(rows[0] && { at: rows[0].at.getTime() }) };
  yield* compare('revocation', id, facts, { rows: 1, at: atMs });
}

function* compare(
  kind: Difference['kind'],
  id: string,
  table: Facts | undefined,
  audit: Facts | undefined,
): Iterable<Difference> {
  if (!table || !audit) {
    if (table !== audit)
      yield { kind, id, fact: 'row', table: table && 'is there', audit: audit && 'must be there' };
    return;
  }
  for (const fact of new Set([...Object.keys(table), ...Object.keys(audit)])) {
    const [is, should] = [table[fact], audit[fact]];
    if (is !== should) yield { kind, id, fact, table: is?.toString(), audit: should?.toString() };
  }
}
