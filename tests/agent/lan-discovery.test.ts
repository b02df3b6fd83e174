// Finds daemons on the local network, with Debian's avahi as the other side, and limits the effect of forged answers.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Avahi, avahiMissing } from '../testing/avahi.ts';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { NetworkNamespace, namespacesMissing } from '../testing/network-namespace.ts';
import { configure, failure, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { noTerminal, Terminal } from '../testing/terminal.ts';
import { until } from '../testing/until.ts';

const skip = namespacesMissing() || avahiMissing();

/** Two machines on one network. */
function network(t: TestContext) {
  const [there, here] = [NetworkNamespace.make(t), NetworkNamespace.make(t)];
  connect(there, here, '192.0.2.1/24');
  return { there, here };
}

/** @param ours the address of the first one. */
function connect(there: NetworkNamespace, here: NetworkNamespace, ours: string): void {
  there.run(['ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', here.name]);
  for (const [machine, address] of [
    [there, ours],
    [here, '192.0.2.2/24'],
  ] as const) {
    machine.run(['ip', 'addr', 'add', address, 'dev', 'eth0']);
    machine.run(['ip', 'link', 'set', 'eth0', 'up']);
  }
}

async function startDaemon(t: TestContext, machine: NetworkNamespace, config: object = {}) {
  const home = await makeHome(t);
  await configure(home, { pairing: { port: 0 }, node: { port: 0 }, quic: {}, ...config });
  const daemon = await DaemonProcess.start(t, { home, under: machine.under });
  return { daemon, port: daemon.pairingAddress.split(':').at(-1)! };
}

/** `palyra pair` without an address and without a prompt. @returns its output. */
async function look(t: TestContext, machine: NetworkNamespace): Promise<string> {
  const home = join(await makeHome(t), 'device');
  const run = PalyraProcess.start(['pair'], { home, under: machine.under });
  return failure(run.ended, { code: 'USAGE', exitCode: 2 });
}

test('a daemon is found by avahi and by palyra pair, until it stops', { skip }, async (t) => {
  const { there, here } = network(t);
  const { daemon, port } = await startDaemon(t, there);
  const avahi = await Avahi.start(t, here);
  const [, , , , type, domain, host, address, itsPort, txt] = await until('avahi finds it', () =>
    avahi.browse('_palyra._tcp').find((fields) => fields[2] === 'IPv4'),
  );
  assert.deepEqual(
    { type, domain, host, address, itsPort, txt },
    {
      ...{ type: '_palyra._tcp', domain: 'local', host: `palyra-${daemon.daemonId.toLowerCase()}.local` },
      ...{ address: '192.0.2.1', itsPort: port, txt: `"td=${daemon.trustDomain}"` },
    },
  );
  await until('palyra pair finds it', async () =>
    (await look(t, here)).includes(`${daemon.trustDomain} at 192.0.2.1:${port}`),
  );
  await daemon.stop();
  await until('avahi has noticed that it left', () => avahi.browse('_palyra._tcp').length === 0);
  assert.match(await look(t, here), /No daemon answers on this network/);
});

test('the daemon announces itself again on a network that returns, with its old address or a new one', {
  skip,
}, async (t) => {
  const { there, here } = network(t);
  const { daemon, port } = await startDaemon(t, there);
  const isFoundAt = (address: string) =>
    until(`it is found at ${address}`, async () =>
      (await look(t, here)).includes(`${daemon.trustDomain} at ${address}:${port}`),
    );
  await isFoundAt('192.0.2.1');
  there.run(['ip', 'link', 'delete', 'eth0']);
  connect(there, here, '192.0.2.1/24');
  await isFoundAt('192.0.2.1');
  there.run(['ip', 'link', 'delete', 'eth0']);
  assert.match(await look(t, here), /No daemon answers/);
  connect(there, here, '192.0.2.9/24');
  await isFoundAt('192.0.2.9');
  // It still works, and announces its stop.
  await daemon.stop();
});

test('with announce switched off nobody answers', { skip }, async (t) => {
  const { there, here } = network(t);
  const { daemon } = await startDaemon(t, there, { announce: false });
  const other = await startDaemon(t, there);
  const said = await until('the other one is found', async () => {
    const text = await look(t, here);
    return text.includes(other.daemon.trustDomain) && text;
  });
  assert.ok(!said.includes(daemon.trustDomain), said);
});

test('a forged answer that leads a device to another daemon only makes the pairing fail', {
  skip: skip || noTerminal,
}, async (t) => {
  const { there, here } = network(t);
  const [right, forger] = [
    await startDaemon(t, there, { announce: false }),
    await startDaemon(t, there, { announce: false }),
  ];
  const { trustDomain } = right.daemon;
  await Avahi.start(t, there, [
    { name: 'a.b \u202e', port: Number(forger.port), txt: [`td=${trustDomain}`] },
    { name: 'bad domain', port: 1, txt: ['td=\u202eevil'] },
    { name: 'no domain', port: 1, txt: [] },
  ]);
  const { code } = await (await right.daemon.admin()).mintCode({});
  const home = join(await makeHome(t), 'device');
  const words = [...here.under, process.execPath, '--disable-warning=ExperimentalWarning'];
  const program = 'packages/cli/bin/palyra.js';
  await until('the forged answer is heard', async () => (await look(t, here)).includes(`:${forger.port}`));
  const terminal = Terminal.run(t, [...words, program, '--home', home, 'pair'].join(' '));
  await terminal.shows(new RegExp(`${trustDomain} at 192.0.2.1:${forger.port}`));
  assert.ok(!terminal.text.includes('evil') && !terminal.text.includes('\u202e'));
  terminal.type('\r');
  await terminal.shows(/Pairing code/);
  terminal.type(`${code}\r`);
  await terminal.shows(/DAEMON_NOT_AUTHENTICATED/);
  assert.equal(await terminal.ended, 3);
});
