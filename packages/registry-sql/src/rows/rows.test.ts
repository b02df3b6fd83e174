import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@palyra/identity';
import {
  pairingOfEveryShape,
  sampleAuthority,
  sampleCertificate,
  sampleDevice,
  sampleUlid,
} from '../testing/samples.ts';
import { authorityRow, readAuthority } from './authority.ts';
import { certificateRow, readCertificate, readStanding } from './certificate.ts';
import type { Row } from './column.ts';
import { deviceRow, readDevice } from './device.ts';
import { pairingRow, readPairing } from './pairing.ts';

const unreadable = (error: unknown): boolean => hasCode(error, 'STORE_FAILED');

test('a pairing row with a missing or impossible value for its state is STORE_FAILED', () => {
  const filled = fullPairingRow();
  for (const pairing of pairingOfEveryShape()) {
    const row: Row = { ...pairingRow(pairing) };
    for (const column of Object.keys(row)) {
      // Codes of every kind and state may have this value.
      if (column === 'auto_approved_by') continue;
      const present = row[column] !== null;
      const wrong = { ...row, [column]: present ? null : filled[column] };
      assert.throws(() => readPairing(wrong), unreadable, `${pairing.state}: ${column} ${present}`);
    }
  }
});

test('a row with an unknown name, a wrong kind of value or a wrong date is STORE_FAILED', () => {
  const device: Row = { ...deviceRow(sampleDevice()) };
  const certificate: Row = {
    ...certificateRow(sampleCertificate({ device: sampleUlid(), issuer: sampleUlid() })),
  };
  const itsDevice = {
    device_state: 'active',
    device_role: 'device',
    device_name: 'sensor',
    issuer_state: 'active',
  };
  const standing: Row = { ...certificate, ...itsDevice, certificate_state: 'active' };
  const authority: Row = { ...authorityRow(sampleAuthority()) };
  const cases: [(row: Row) => unknown, Row, Row[]][] = [
    [
      readDevice,
      device,
      [
        { state: 'lent' },
        { state: 'toString' },
        { role: 'root' },
        { kind: 7 },
        { identity_key: 'text' },
        { created_at: '2026' },
        { created_at: 8.64e15 + 1 },
        { created_at: 0.5 },
        { name: null },
        { capabilities: '{' },
        { capabilities: '{}' },
        { capabilities: '[1]' },
      ],
    ],
    [readCertificate, certificate, [{ subject_kind: 'person' }, { der: null }, { state: 'lost' }]],
    [
      readStanding,
      standing,
      [
        { device_state: null },
        { device_role: 'root' },
        { device_name: null },
        { not_after: null },
        { certificate_state: 'good' },
        { issuer_state: 'lost' },
      ],
    ],
    [readAuthority, authority, [{ tier: 'leaf' }, { state: null }]],
    [
      readPairing,
      { ...pairingRow(first(pairingOfEveryShape())) },
      [{ state: 'done' }, { code_kind: 'spoken' }],
    ],
  ];
  for (const [read, good, changes] of cases) {
    assert.doesNotThrow(() => read(good));
    for (const change of changes) {
      assert.throws(() => read({ ...good, ...change }), unreadable, JSON.stringify(change));
    }
  }
});

test('an invalid date cannot be stored', () => {
  assert.throws(() => deviceRow(sampleDevice({ createdAt: new Date(Number.NaN) })), TypeError);
});

/** A row with every column filled, each from a pairing that has it. */
function fullPairingRow(): Row {
  const rows = pairingOfEveryShape().map((pairing) => ({ ...pairingRow(pairing) }) as Row);
  return Object.fromEntries(
    Object.keys(first(rows)).map((column) => [
      column,
      rows.map((row) => row[column]).find((value) => value !== null),
    ]),
  );
}

function first<T>(list: readonly T[]): T {
  const [item] = list;
  assert.ok(item);
  return item;
}
