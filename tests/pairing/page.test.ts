// Compares the error tables of docs/pairing.md with the code.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Code } from '@connectrpc/connect';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { toConnectError } from '../../packages/rpc/src/error-map.ts';

const repository = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, repository), 'utf8');
const page = read('docs/pairing.md');

function section(from: string, to: string): string {
  const [at, end] = [page.indexOf(from), page.indexOf(to)];
  assert.ok(at >= 0 && end > at, `${from} … ${to}`);
  return page.slice(at, end);
}

/** Code and gRPC status of each row. */
function table(text: string): Map<string, string> {
  const rows = text.matchAll(/^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) +\| ([A-Z_]+) +\|/gm);
  return new Map(
    [...rows].flatMap(([, codes, status]) => codes!.split(', ').map((code) => [code.slice(1, -1), status!])),
  );
}

const pairing = table(section('## 6. Errors', '## 7. Limits'));
const recovery = table(section('### 9.2 Recovery', '## 10. Worked example'));

test('every code in the error tables has the gRPC status of the implementation', () => {
  assert.ok(pairing.size > 20 && recovery.size > 10, `${pairing.size} and ${recovery.size} rows`);
  for (const [code, status] of [...pairing, ...recovery]) {
    const { error } = toConnectError(new IdentityError(code as IdentityErrorCode, 'A message.'));
    const name = Code[error.code]!.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
    assert.equal(name, status, code);
  }
});

test('every error code of pairing, renewal and recovery is in its table', () => {
  const refusals = (...paths: string[]) =>
    paths.flatMap((path) =>
      [...read(`packages/identity/src/${path}`).matchAll(/IdentityError\(\s*'([A-Z_]+)'/g)].map(
        ([, code]) => code!,
      ),
    );
  for (const code of refusals(
    'pairing/daemon.ts',
    'pairing/hello.ts',
    'pairing/cpace.ts',
    'pairing/sealer.ts',
  )) {
    assert.ok(pairing.has(code), `${code} in section 6`);
  }
  for (const code of refusals('renewal/daemon.ts')) assert.ok(recovery.has(code), `${code} in section 9.2`);
  const [, standings = ''] = /first reason that applies[\s\S]*?:\n\n([\s\S]*?)\n\n/.exec(page) ?? [];
  for (const [, code] of read('packages/identity/src/registry/standing.ts').matchAll(/code: '([A-Z_]+)'/g)) {
    assert.ok(standings.includes(`\`${code}\``), `${code} in section 8.3`);
    assert.ok(pairing.has(code!), `${code} in section 6: Await refuses with it`);
  }
});
