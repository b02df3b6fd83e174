// Which addresses a device reaches through the proxy.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expectCode } from '../../../tests/testing/expect-code.ts';
import { proxyFor } from './proxy.ts';

const proxy = 'http://proxy.example:3128/';

const direct: [noProxy: string, address: string][] = [
  ['*', 'wss://home.example'],
  ['home.example', 'wss://home.example'],
  ['home.example', 'wss://home.example.'],
  ['home.example', 'wss://www.home.example/channel'],
  ['.home.example', 'wss://www.home.example'],
  ['.home.example', 'wss://home.example'],
  ['*.home.example', 'wss://www.home.example'],
  ['HOME.example', 'wss://Home.Example'],
  ['other.example, home.example', 'wss://home.example'],
  ['other.example home.example', 'wss://home.example'],
  ['home.example:443', 'wss://home.example'],
  ['home.example:8443', 'wss://home.example:8443'],
  ['192.0.2.7', 'wss://192.0.2.7'],
  ['192.0.2.0/24', 'wss://192.0.2.7'],
  ['2001:db8::7', 'wss://[2001:db8::7]'],
  ['[2001:db8::7]', 'wss://[2001:db8::7]'],
  ['[2001:db8::7]:443', 'wss://[2001:db8::7]'],
  ['2001:db8::/32', 'wss://[2001:db8::7]'],
];
const through: [noProxy: string, address: string][] = [
  ['', 'wss://home.example'],
  [' , ,', 'wss://home.example'],
  ['.', 'wss://home.example'],
  ['home.example', 'wss://myhome.example'],
  ['www.home.example', 'wss://home.example'],
  ['home.example:8443', 'wss://home.example'],
  ['192.0.2.0/24', 'wss://192.0.3.7'],
  ['192.0.2.0/33', 'wss://192.0.2.7'],
  ['192.0.2.0/x', 'wss://192.0.2.7'],
  ['2001:db8::/32', 'wss://192.0.2.7'],
  ['192.0.2.0/24', 'wss://home.example'],
  ['[2001:db8::7]:8443', 'wss://[2001:db8::7]'],
];

describe('a proxy', () => {
  for (const [noProxy, address] of direct) {
    it(`is not used for ${address} with NO_PROXY=${noProxy}`, () =>
      assert.equal(proxyFor(new URL(address), { proxy, noProxy }), undefined));
  }
  for (const [noProxy, address] of through) {
    it(`is used for ${address} with NO_PROXY=${noProxy}`, () =>
      assert.equal(proxyFor(new URL(address), { proxy, noProxy }), proxy));
  }

  it('is not used for ws:, or when none is named', () => {
    assert.equal(proxyFor(new URL('ws://home.example'), { proxy }), undefined);
    assert.equal(proxyFor(new URL('wss://home.example'), {}), undefined);
    assert.equal(proxyFor(new URL('wss://home.example'), { proxy: '' }), undefined);
  });

  it('may be named without its scheme', () =>
    assert.equal(proxyFor(new URL('wss://home.example'), { proxy: 'proxy.example:3128' }), proxy));

  for (const wrong of ['socks5://proxy.example:1080', 'http://', '://', 'user:secret@:1']) {
    it(`at ${wrong} is refused, instead of a direct connection`, async () => {
      const error = await expectCode(
        (async () => proxyFor(new URL('wss://home.example'), { proxy: wrong }))(),
        'UNREACHABLE',
      );
      assert.doesNotMatch(String(error), /secret/);
    });
  }
});
