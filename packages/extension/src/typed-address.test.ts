import assert from 'node:assert/strict';
import test from 'node:test';
import { addressOf, hostOf } from './typed-address.ts';

const uri = (address: string) =>
  `palyra:pair?a=${encodeURIComponent(address)}&s=${'A'.repeat(22)}&k=${'A'.repeat(43)}&r=${'A'.repeat(43)}`;

test('a host alone becomes the URL of a channel: with TLS, except on this machine', () => {
  const cases = [
    ['home.example', 'wss://home.example'],
    [' home.example:8443/palyra ', 'wss://home.example:8443/palyra'],
    ['https://home.example/channel', 'wss://home.example/channel'],
    ['http://home.example', 'wss://home.example'],
    ['127.0.0.1:7446', 'ws://127.0.0.1:7446'],
    ['localhost', 'ws://localhost'],
    ['[::1]:7446', 'ws://[::1]:7446'],
    ['localhost.home.example', 'wss://localhost.home.example'],
    ['127.0.0.1.home.example', 'wss://127.0.0.1.home.example'],
    ['192.168.1.5:7446', 'wss://192.168.1.5:7446'],
    ['ws://home.example/x', 'ws://home.example/x'],
    ['WSS://home.example', 'WSS://home.example'],
    ['', ''],
  ] as const;
  for (const [typed, expected] of cases) assert.equal(addressOf(typed, '123-456789'), expected, typed);
});

test('a palyra: URI names the host where no address is typed', () => {
  assert.equal(addressOf('', uri('home.example:7443')), 'wss://home.example');
  assert.equal(addressOf('', uri('127.0.0.1:7443')), 'ws://127.0.0.1');
  assert.equal(addressOf('', uri('[2001:db8::7]:7443')), 'wss://[2001:db8::7]');
  assert.equal(addressOf('other.example', uri('home.example:7443')), 'wss://other.example');
  assert.equal(hostOf('123-456789'), undefined);
  assert.equal(hostOf('palyra:pair?a=x'), undefined);
});
