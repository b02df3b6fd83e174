import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from './address.ts';
import { CliError } from './failure.ts';

for (const [text, address] of [
  ['192.168.1.5', '192.168.1.5:7443'],
  ['192.168.1.5:8443', '192.168.1.5:8443'],
  ['daemon.local', 'daemon.local:7443'],
  ['localhost:1', 'localhost:1'],
  ['::1', '[::1]:7443'],
  ['[::1]', '[::1]:7443'],
  ['[fe80::1]:8443', '[fe80::1]:8443'],
  ['fe80::1:2', '[fe80::1:2]:7443'],
] as const) {
  test(`${text} is ${address}`, () => {
    assert.equal(parseAddress(text), address);
  });
}

for (const text of [
  '',
  ':7443',
  'host:',
  'host:0',
  'host:65536',
  'ab:99999',
  'https://host',
  'a b',
  'host:7443/x',
  '[::1',
  '::g',
]) {
  test(`"${text}" is no address`, () => {
    assert.throws(
      () => parseAddress(text),
      (error) => error instanceof CliError && error.code === 'USAGE',
    );
  });
}

test('another port can be the usual one', () => {
  assert.equal(parseAddress('host', 7444), 'host:7444');
});
