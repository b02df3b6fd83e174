// Converts a pairing to a row, and back. One table holds its eight shapes; `shapes` lists the columns of each state.

import {
  type Pairing,
  type PairingRequest,
  type PairingState,
  parseActorName,
} from '@palyra/identity/registry';
import type { PairingsTable } from '../tables.ts';
import {
  bytes,
  id,
  instant,
  integer,
  milliseconds,
  oneOf,
  optional,
  parsed,
  type Row,
  text,
  unreadable,
} from './column.ts';
import { deviceKind } from './device.ts';

type Part = 'expiresAt' | 'sealedSecret' | 'request' | 'serial' | 'reason';
type Presence = Readonly<Partial<Record<Part, 'required' | 'optional'>>>;

const shapes: Readonly<Record<PairingState, Presence>> = {
  waiting: { expiresAt: 'required', sealedSecret: 'required' },
  pending_approval: { expiresAt: 'required', request: 'required' },
  approved: { expiresAt: 'required', request: 'required' },
  issued: { expiresAt: 'required', request: 'required', serial: 'required' },
  active: { request: 'required', serial: 'required' },
  rejected: { request: 'optional', reason: 'required' },
  expired: { request: 'optional' },
  exhausted: {},
};

const pairingState = oneOf<PairingState>(shapes);
const codeKind = oneOf<Pairing['codeKind']>({ typed: 1, qr: 1 });
const continuity = oneOf<PairingRequest['continuity']>({ new: 1, known: 1, another_key: 1 });

export function pairingRow(pairing: Pairing): PairingsTable {
  const request = 'request' in pairing ? pairing.request : undefined;
  return {
    id: pairing.id,
    revision: pairing.revision,
    state: pairing.state,
    code_kind: pairing.codeKind,
    slot: pairing.slot,
    created_at: milliseconds(pairing.createdAt),
    auto_approved_by: pairing.autoApprovedBy ?? null,
    guesses_left: pairing.guessesLeft,
    guesses_taken: pairing.guessesTaken,
    expires_at: 'expiresAt' in pairing ? milliseconds(pairing.expiresAt) : null,
    sealed_secret: 'sealedSecret' in pairing ? pairing.sealedSecret : null,
    serial: 'serial' in pairing ? pairing.serial : null,
    reason: 'reason' in pairing ? pairing.reason : null,
    device_id: request?.deviceId ?? null,
    identity_key: request?.identityKey ?? null,
    tls_key: request?.tlsKey ?? null,
    name: request?.name ?? null,
    kind: request?.kind ?? null,
    platform: request?.platform ?? null,
    words: request?.words ?? null,
    source: request?.source ?? null,
    continuity: request?.continuity ?? null,
    failed_guesses: request?.failedGuesses ?? null,
    sealed_await_key: request?.sealedAwaitKey ?? null,
  };
}

const parts: Readonly<Record<Part, { columns: readonly (keyof PairingsTable)[]; read(row: Row): unknown }>> =
  {
    expiresAt: { columns: ['expires_at'], read: (row) => instant(row, 'expires_at') },
    sealedSecret: { columns: ['sealed_secret'], read: (row) => bytes(row, 'sealed_secret') },
    serial: { columns: ['serial'], read: (row) => text(row, 'serial') },
    reason: { columns: ['reason'], read: (row) => text(row, 'reason') },
    request: {
      columns: [
        'device_id',
        'identity_key',
        'tls_key',
        'name',
        'kind',
        'platform',
        'words',
        'source',
        'continuity',
        'failed_guesses',
        'sealed_await_key',
      ],
      read: readRequest,
    },
  };

/** @throws STORE_FAILED if the row lacks a column that its state needs, or has one that its state cannot have. */
export function readPairing(row: Row): Pairing {
  const state = pairingState(row, 'state');
  const found: Partial<Record<Part, unknown>> = {};
  for (const [part, { columns, read }] of Object.entries(parts) as [Part, (typeof parts)[Part]][]) {
    const presence = shapes[state][part];
    const filled = columns.find((column) => row[column] !== null);
    if (filled === undefined) {
      if (presence === 'required') unreadable(part, null);
    } else {
      if (presence === undefined) unreadable(filled, row[filled]);
      found[part] = read(row);
    }
  }
  return {
    id: id(row, 'id'),
    revision: integer(row, 'revision'),
    codeKind: codeKind(row, 'code_kind'),
    slot: text(row, 'slot'),
    createdAt: instant(row, 'created_at'),
    autoApprovedBy: optional(parsed(parseActorName))(row, 'auto_approved_by'),
    guessesLeft: integer(row, 'guesses_left'),
    guessesTaken: integer(row, 'guesses_taken'),
    state,
    ...found,
  } as Pairing;
}

function readRequest(row: Row): PairingRequest {
  return {
    deviceId: id(row, 'device_id'),
    identityKey: bytes(row, 'identity_key'),
    tlsKey: bytes(row, 'tls_key'),
    name: text(row, 'name'),
    kind: deviceKind(row, 'kind'),
    platform: text(row, 'platform'),
    words: text(row, 'words'),
    source: text(row, 'source'),
    continuity: continuity(row, 'continuity'),
    failedGuesses: integer(row, 'failed_guesses'),
    sealedAwaitKey: bytes(row, 'sealed_await_key'),
  };
}
