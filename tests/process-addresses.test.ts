// On a machine, or in a sandbox, that has not all kinds of addresses, the defaults still work.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { DaemonProcess } from './testing/daemon-process.ts';
import { configure, failure, PalyraProcess } from './testing/palyra-process.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

const without = (...families: string[]) => [
  'python3',
  join(import.meta.dirname, 'testing', 'without_sockets_of.py'),
  families.join(),
];
const noIpv6 = without('AF_INET6', 'AF_NETLINK');
const missing = spawnSync(noIpv6[0]!, [...noIpv6.slice(1), 'true']);
const skip =
  missing.status !== 0 &&
  `NOT TESTED: a machine without IPv6 needs python3 and seccomp: ${missing.error ?? missing.stderr}`;
const everywhere = { pairing: { port: 0 }, node: { port: 0 }, quic: {} };

test('without IPv6, and where it may not see the addresses of the machine, a daemon listens on every one of IPv4', {
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
  await daemon.peer();
  await daemon.stop();
});

test('an address of a kind that the machine does not have is said to be one', { skip }, async () => {
  const home = temporaryFolder();
  await configure(home, { pairing: { host: '::1', port: 0 } });
  const started = PalyraProcess.start(['daemon'], { home, under: noIpv6 }).ended;
  const message = await failure(started, { code: 'UNREACHABLE', exitCode: 7 });
  assert.equal(
    message,
    'The pairing listener cannot use the address ::1: this machine has no IPv6. Set pairing.host in config.json.',
  );
});
