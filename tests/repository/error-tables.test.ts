// Compares the documents' tables of error codes with the code: families, gRPC statuses, exit codes, QUIC numbers.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Code } from '@connectrpc/connect';
import { errorCodes, familyOf, isErrorCode } from '@palyra/identity/errors';
import { exitCodeOf } from '../../packages/cli/src/failure.ts';
import { grpcCodeOf } from '../../packages/rpc/src/error-map.ts';
import { closeNumbers } from '../../packages/rpc/src/streams/close-code.ts';

const page = (name: string) => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
const cells = (row: string) => row.split('|').map((cell) => cell.trim());

/** The name as gRPC writes it. */
const statusOf = (code: (typeof errorCodes)[number]) =>
  (Code[grpcCodeOf(code)] ?? '').replace(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase();

const quicNumbers: ReadonlyMap<string, string> = new Map(
  [...closeNumbers].map(([number, code]) => [code, `0x${(number & 0xfff).toString(16).padStart(3, '0')}`]),
);

test('docs/errors.md lists every code with its family, statuses and numbers', () => {
  const rows = page('errors')
    .split('\n')
    .filter((line) => /^\| `[A-Z_]+` /.test(line))
    .map((line) => cells(line).slice(1, 6));
  const expected = errorCodes.map((code) => [
    `\`${code}\``,
    familyOf(code),
    statusOf(code),
    String(exitCodeOf(code)),
    quicNumbers.get(code) ?? '-',
  ]);
  assert.deepEqual(rows, expected);
});

test('docs/pairing.md gives the correct gRPC status of every code', () => {
  let checked = 0;
  for (const line of page('pairing').split('\n')) {
    const [, codes = '', status = ''] = cells(line);
    for (const [, code = ''] of codes.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g)) {
      if (!isErrorCode(code) || !/^[A-Z_]+$/.test(status)) continue;
      assert.equal(status, statusOf(code), code);
      checked += 1;
    }
  }
  assert.ok(checked >= 40, String(checked));
});

test('docs/quic.md lists exactly the numbers of closes and resets', () => {
  const listed = new Map(
    [...page('quic').matchAll(/\| (0x[0-9a-f]{3}) \| ([A-Z_]+)/g)].map(([, number, code]) => [code, number]),
  );
  assert.deepEqual([...listed].sort(), [...quicNumbers].sort());
});

test('docs/operations.md explains only existing codes', () => {
  for (const line of page('operations').split('\n')) {
    if (!/^\| `[A-Z]+_[A-Z_]+`/.test(line)) continue;
    for (const [, code = ''] of (cells(line)[1] ?? '').matchAll(/`([A-Z]+_[A-Z_]+)`/g))
      assert.ok(isErrorCode(code), code);
  }
});
