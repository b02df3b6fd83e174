// The defaults also work on a machine or in a sandbox without some kinds of addresses.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { NetworkNamespace, namespacesMissing } from '../testing/network-namespace.ts';
import { configure, failure, type Line, PalyraProcess } from '../testing/palyra-process.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { until } from '../testing/until.ts';

const without = (...families: string[]) => [
  'python3',
  join(import.meta.dirname, '../testing', 'without_sockets_of.py'),
  families.join(),
];
const noIpv6 = without('AF_INET6', 'AF_NETLINK');
const missing = spawnSync(noIpv6[0]!, [...noIpv6.slice(1), 'true']);
const skip =
  missing.status !== 0 &&
  `NOT TESTED: a machine without IPv6 needs python3 and seccomp: ${missing.error ?? missing.stderr}`;
const everywhere = { pairing: { port: 0 }, node: { port: 0 }, quic: {} };

test('without IPv6, or without permission to list addresses, a daemon listens on every IPv4 address', {
  skip,
}, async (t) => {
  const home = temporaryFolder();
  await configure(home, everywhere);
  const checked = await PalyraProcess.start(['daemon', '--check'], { home, under: noIpv6 }).ended;
  assert.equal(checked.exitCode, 0, `${checked.stdout}${checked.stderr}`);

  const daemon = await DaemonProcess.start(t, { home, under: noIpv6 });
  const [ready] = daemon.process.lines;
  const addresses = ['pairing', 'node', 'quic'].map(
    (name) => ready!.listeners.find((each: { readonly name: string }) => each.name === name)?.address,
  );
  for (const address of addresses) assert.match(address, /^0\.0\.0\.0:[0-9]+$/);
  assert.match(ready!.pairing_address, /^127\.0\.0\.1:[0-9]+$/);
  assert.equal(ready!.notes.length, 1);
  assert.match(ready!.notes[0], /no IPv6/);
  await daemon.peer();
  await daemon.stop();
});

const inNamespace = namespacesMissing();

test('with IPv6 disabled on the interfaces, a daemon is reached over IPv4', {
  skip: inNamespace,
}, async (t) => {
  const namespace = NetworkNamespace.make(t);
  namespace.run(['sh', '-c', 'for each in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $each; done']);
  const home = temporaryFolder();
  await configure(home, everywhere);
  const daemon = await DaemonProcess.start(t, { home, under: namespace.under });
  assert.match(daemon.process.lines[0]!.pairing_address, /^127\.0\.0\.1:[0-9]+$/);
  await daemon.stop();
});

test('the daemon shows an IPv6 address if there is no other, and the address of an interface that comes up later', {
  skip: inNamespace,
}, async (t) => {
  const namespace = NetworkNamespace.make(t);
  const home = temporaryFolder();
  await configure(home, everywhere);
  const daemon = await DaemonProcess.start(t, { home, under: namespace.under });
  const port = (ready: Line) => ready.pairing_address.split(':').at(-1);
  const [ready] = daemon.process.lines;
  assert.equal(ready!.pairing_address, `127.0.0.1:${port(ready!)}`);
  const admin = await daemon.admin();
  /** The kernel takes a second to report a link as running. */
  const isShown = (address: string) =>
    until(`${address} is shown`, async () => {
      // The number of codes is limited.
      await sleep(200);
      return (await admin.mintCode({})).address === `${address}:${port(ready!)}`;
    });

  const elsewhere = NetworkNamespace.make(t);
  for (const name of ['docker0', 'eth0']) {
    const peer = ['type', 'veth', 'peer', 'name', name, 'netns', elsewhere.name];
    namespace.run(['ip', 'link', 'add', name, ...peer]);
    elsewhere.run(['ip', 'link', 'set', name, 'up']);
  }
  const up = (name: string, address: string) => {
    namespace.run(['ip', 'addr', 'add', address, 'dev', name, ...(address.includes(':') ? ['nodad'] : [])]);
    namespace.run(['ip', 'link', 'set', name, 'up']);
  };
  up('docker0', '172.17.0.1/16');
  await isShown('172.17.0.1');
  up('eth0', 'fd00:7::7/64');
  await isShown('[fd00:7::7]');
  up('eth0', '192.0.2.77/24');
  await isShown('192.0.2.77');
  await daemon.stop();
});

test('an address of a kind that the machine lacks is named in the error', { skip }, async () => {
  const home = temporaryFolder();
  await configure(home, { pairing: { host: '::1', port: 0 } });
  const started = PalyraProcess.start(['daemon'], { home, under: noIpv6 }).ended;
  const message = await failure(started, { code: 'UNREACHABLE', exitCode: 7 });
  assert.equal(
    message,
    'The pairing listener cannot use the address ::1: this machine has no IPv6. Set pairing.host in config.json.',
  );
});
