// The headers of the built command, against those of Node.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LightHeaders } from '../../scripts/light-headers.ts';

/** The build of the tests replaces the bare name. */
const nodes = globalThis.Headers;

const name = fc.constantFrom('a', 'A-b', 'Set-Cookie', 'cookie', 'grpc-status', '', 'a b', 'é', 'a\n', 'te');
const value = fc.oneof(
  fc.constantFrom('', ' x ', '\t', '\r\nx\r\n', 'a\r\nb: c', 'a\0', 'é', '€', 'x, y'),
  fc.string({ unit: 'binary' }),
);
const call = fc.oneof(
  fc.tuple(fc.constantFrom('append', 'set'), name, value),
  fc.tuple(fc.constantFrom('get', 'has', 'delete'), name),
);
const init = fc.oneof(
  fc.constantFrom(undefined, null, 1, [['a']], [['a', 'b', 'c']]),
  fc.array(fc.tuple(name, value), { maxLength: 4 }),
  fc.dictionary(name, value, { maxKeys: 4 }),
);

/** What it answered, or that it refused. */
function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return 'refused';
  }
}

function play(Kind: typeof Headers, given: unknown, calls: readonly (readonly string[])[]): unknown {
  return outcome(() => {
    const headers = new Kind(given as Record<string, string>);
    const answers = calls.map(([method, ...args]) =>
      outcome(() =>
        (headers as unknown as Record<string, (...args: string[]) => unknown>)[method!]!(...args),
      ),
    );
    const each: unknown[] = [];
    headers.forEach((value, name, parent) => void each.push([name, value, parent === headers]));
    return {
      answers,
      each,
      entries: [...headers],
      keys: [...headers.keys()],
      values: [...headers.values()],
      cookies: headers.getSetCookie(),
      copied: [...new Kind(headers)],
      tag: String(headers),
    };
  });
}

test('they answer, and refuse, what those of Node do', () => {
  assert.notEqual(nodes as unknown, LightHeaders);
  fc.assert(
    fc.property(init, fc.array(call, { maxLength: 8 }), (given, calls) => {
      assert.deepEqual(play(LightHeaders, given, calls), play(nodes, given, calls));
    }),
    { numRuns: 2_000 },
  );
});

test('a name or a value cannot start another header', () => {
  for (const bad of ['a\r\nb: c', 'a\n', 'a\0b']) {
    assert.throws(() => new LightHeaders().set(bad, 'x'), TypeError);
    assert.throws(() => new LightHeaders({ x: `a${bad}b` }), TypeError);
  }
});
