import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { authorityOf, formatEndpoint, isCanonicalEndpoint, parseEndpoint, withPort } from './endpoint.ts';
import { hasCode } from './errors.ts';

for (const [text, host, port] of [
  ['192.168.1.5:8443', '192.168.1.5', 8443],
  ['Daemon.Local:1', 'daemon.local', 1],
  ['daemon.example.:65535', 'daemon.example.', 65535],
  ['2.my_host:7443', '2.my_host', 7443],
  ['[::1]:7443', '::1', 7443],
  ['[2001:DB8:0:0::7]:7443', '2001:db8::7', 7443],
  ['[fe80::1%eth0]:7443', 'fe80::1%eth0', 7443],
  ['[fe80::1%br-lan.100]:7443', 'fe80::1%br-lan.100', 7443],
  ['[::ffff:192.168.1.5]:7443', '::ffff:c0a8:105', 7443],
] as const) {
  test(`${text} is port ${port} of ${host}`, () => {
    const endpoint = parseEndpoint(text);
    assert.deepEqual(endpoint, { host, port });
    assert.deepEqual(parseEndpoint(formatEndpoint(endpoint)), endpoint);
  });
}

for (const [text, host] of [
  ['::1', '::1'],
  ['[::1]', '::1'],
  ['fe80::1%eth0', 'fe80::1%eth0'],
  ['fe80::1:2', 'fe80::1:2'],
  ['10.0.0.1', '10.0.0.1'],
] as const) {
  test(`${text} gets the default port, if there is one`, () => {
    assert.deepEqual(parseEndpoint(text, 7443), { host, port: 7443 });
    assert.throws(
      () => parseEndpoint(text),
      (error) => hasCode(error, 'MESSAGE_INVALID'),
    );
  });
}

for (const text of [
  ...['', ':7443', 'host:', 'host:0', 'host:65536', 'a b:1', 'host:7443/x', 'https://host:1', 'host:1:2'],
  ...[
    '[::1',
    '[::1]7443',
    '[::g]:1',
    '[1]:1',
    '[fe80::1%]:1',
    '[fe80::1%a b]:1',
    '[fe80::1%a%b]:1',
    '::1:7443x',
  ],
  ...[
    '[10.0.0.1]:1',
    '10.1:1',
    '256.1.1.1:1',
    '1.2.3.4.:1',
    '010.0.0.1:1',
    '0x7f.1:1',
    '0x7f000001:1',
    '1:1',
  ],
  ...['user@host:1', 'host%eth0:1', `${'a'.repeat(254)}:1`, 'h\u00f6st:1', 'host:\u0661'],
]) {
  test(`${JSON.stringify(text)} is not an endpoint`, () => {
    assert.throws(
      () => parseEndpoint(text),
      (error) => hasCode(error, 'MESSAGE_INVALID'),
    );
  });
}

test('every endpoint is written in one form', () => {
  const hosts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
  const ports = fc.integer({ min: 1, max: 65535 });
  fc.assert(
    fc.property(hosts, ports, (host, port) => {
      const text = formatEndpoint(parseEndpoint(formatEndpoint({ host, port })));
      assert.equal(isCanonicalEndpoint(text), true);
    }),
  );
});

test('a zone is used on this machine only', () => {
  assert.equal(authorityOf('[fe80::1%eth0]:7443'), '[fe80::1]:7443');
  assert.equal(withPort('[fe80::1%eth0]:7443', 7444), '[fe80::1%eth0]:7444');
});
