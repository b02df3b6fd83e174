import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';
import { bestAddress, type Interfaces, shownAddress } from './shown-address.ts';

const machine = (interfaces: Readonly<Record<string, readonly string[]>>): Interfaces =>
  Object.fromEntries(
    Object.entries(interfaces).map(([name, addresses]) => [
      name,
      addresses.map((address) => ({
        ...{ address, netmask: '', mac: '', internal: name === 'lo', cidr: null },
        ...(isIPv6(address) ? { family: 'IPv6' as const, scopeid: 0 } : { family: 'IPv4' as const }),
      })),
    ]),
  );
const lo = ['127.0.0.1', '::1'];
const link = 'fe80::1';

for (const [name, interfaces, address] of [
  ['one interface', { lo, eth0: ['192.0.2.7', '2001:db8::7', link] }, '192.0.2.7'],
  ['docker0 first', { lo, docker0: ['172.17.0.1'], eth0: ['192.0.2.7'] }, '192.0.2.7'],
  [
    'bridges and pairs of containers and virtual machines',
    { 'br-0a1b': ['172.18.0.1'], veth1: [link], virbr0: ['192.168.122.1'], wlan0: ['10.0.0.7'] },
    '10.0.0.7',
  ],
  ['nothing but a bridge', { lo, docker0: ['172.17.0.1'] }, '172.17.0.1'],
  ['a bridge of the machine itself', { lo, docker0: ['172.17.0.1'], br0: ['192.0.2.7'] }, '192.0.2.7'],
  ['a tunnel before the network', { lo, wg0: ['10.8.0.2'], eth0: ['192.0.2.7'] }, '192.0.2.7'],
  ['a tunnel and a bridge', { lo, docker0: ['172.17.0.1'], tailscale0: ['100.64.0.2'] }, '100.64.0.2'],
  ['IPv6 only', { lo, eth0: [link, '2001:db8::7'] }, '2001:db8::7'],
  ['IPv6 only, with a bridge of IPv4', { lo, docker0: ['172.17.0.1'], eth0: ['fd00::7'] }, 'fd00::7'],
  ['an address that IPv4 made up', { lo, eth0: ['169.254.3.4', '2001:db8::7'] }, '2001:db8::7'],
  ['a link without addresses', { lo, eth0: [link] }, 'fe80::1%eth0'],
  ['no network', { lo }, '127.0.0.1'],
  ['no network and no IPv4', { lo: ['::1'] }, '::1'],
  ['a look that is not allowed', {}, '127.0.0.1'],
] as const) {
  test(`the address shown, with ${name}`, () => {
    assert.equal(bestAddress(machine(interfaces), '::'), address);
  });
}

test('an IPv4 listener is shown with an IPv4 address', () => {
  assert.equal(
    bestAddress(machine({ lo, eth0: ['2001:db8::7'], docker0: ['172.17.0.1'] }), '0.0.0.0'),
    '172.17.0.1',
  );
  assert.equal(bestAddress(machine({ lo, eth0: ['2001:db8::7'] }), '0.0.0.0'), '127.0.0.1');
});

test('a listener on one address is shown with this address', () => {
  assert.equal(shownAddress('192.0.2.9', 7443), '192.0.2.9:7443');
  assert.equal(shownAddress('2001:db8::9', 7443), '[2001:db8::9]:7443');
});
