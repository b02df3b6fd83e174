// A device finds a daemon that moved, by announced endpoints or by endpoints set by hand.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { createClient } from '@connectrpc/connect';
import {
  loadEnrollments,
  nodeEndpoints,
  type PairedEnrollment,
  recoverCertificate,
  renewCertificate,
} from '@palyra/identity/device';
import { NodeService, reachNode, reachPairing, recoveryPeer } from '@palyra/rpc';
import { DeviceRole } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, failure, type Line, makeHome, PalyraProcess, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

const nobody = '127.0.0.1:9';
const at = (port: number) => `127.0.0.1:${port}`;

async function ports() {
  return { pairing: await freePort(), node: await freePort() };
}

/** A home that was paired by the command. */
async function pairHome(t: TestContext, daemon: TestDaemon) {
  const home = join(await makeHome(t), 'device');
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const { device_id: id } = await answer(['pair', daemon.pairingAddress, '--code-stdin'], {
    home,
    stdin: code,
  });
  return { home, id: id as string };
}

function startAgent(t: TestContext, home: string): PalyraProcess {
  const agent = PalyraProcess.start(['node', 'run'], { home });
  t.after(async () => void (await agent.end('SIGKILL')));
  return agent;
}

const isConnected = ({ event }: Line) => event === 'connected';
const connectedAgain = (agent: PalyraProcess) =>
  agent.line((line) => isConnected(line) && agent.lines.filter(isConnected).indexOf(line) >= 1);

test('a device that was told of new ports in advance finds its daemon there', async (t) => {
  const [before, after] = [await ports(), await ports()];
  const endpoints = {
    pairing: [nobody, at(before.pairing), at(after.pairing)],
    node: [nobody, at(before.node), at(after.node)],
    quic: [at(before.node), at(after.node)],
  };
  const first = await TestDaemon.start(t, {
    ports: before,
    endpoints: { ...endpoints, pairing: [at(before.pairing), nobody, at(after.pairing)] },
  });
  assert.equal(first.pairingAddress, at(before.pairing), 'the first one is shown');
  const { home, id } = await pairHome(t, first);
  await first.admin.setDeviceRole({ id, role: DeviceRole.OPERATOR });
  const told = await answer(['node', 'endpoints'], { home });
  assert.deepEqual(told.node, endpoints.node);
  assert.deepEqual(told.by_hand, []);
  const agent = startAgent(t, home);
  await agent.line(isConnected);
  await first.stop();

  await TestDaemon.start(t, { ports: after, endpoints, home: first.home });
  assert.equal((await connectedAgain(agent)).transport, 'quic');
  await until('the agent has stored the endpoints from its channel', async () => {
    const known = await answer(['node', 'endpoints'], { home });
    return isDeepStrictEqual(known.pairing, endpoints.pairing);
  });
  assert.equal((await answer(['node', 'status'], { home })).address, at(after.node));
  assert.equal((await answer(['--remote', 'status'], { home })).daemon_id, first.running.daemonId);
  await answer(['renew'], { home });
  await answer(['renew', '--recover'], { home });
  await agent.end('SIGINT');
});

test('a daemon that moved unannounced is found at the endpoints set by hand, whatever it announces later', async (t) => {
  const [before, after] = [await ports(), await ports()];
  const first = await TestDaemon.start(t, { ports: before });
  const { home } = await pairHome(t, first);
  const agent = startAgent(t, home);
  await agent.line(isConnected);
  await first.stop();
  const second = await TestDaemon.start(t, { ports: after, home: first.home, endpoints: { node: [nobody] } });
  const lost = await failure(palyra(['node', 'status'], { home }), { code: 'UNREACHABLE', exitCode: 7 });
  assert.match(lost, /If it has moved: .*palyra.* node endpoints --host ADDRESS/);

  const words = ['--node', at(after.node), '--quic', at(after.node), '--pairing', at(after.pairing)];
  const set = await answer(['node', 'endpoints', ...words], { home });
  assert.deepEqual(set.by_hand, ['node', 'quic', 'pairing']);
  // The running agent uses the new address with its next attempt.
  await connectedAgain(agent);
  assert.equal((await answer(['node', 'status'], { home })).address, at(after.node));
  await answer(['renew'], { home });
  await answer(['renew', '--recover'], { home });
  assert.deepEqual((await answer(['node', 'endpoints'], { home })).node, [at(after.node)], 'it is kept');

  const reset = await answer(['node', 'endpoints', '--reset'], { home });
  assert.deepEqual(reset.node, [nobody, at(before.node)], "the daemon's newest word was kept beside it");
  await agent.end('SIGINT');
  await second.stop();
});

test('pairing again forgets what was set by hand', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { home } = await pairHome(t, daemon);
  await answer(['node', 'endpoints', '--node', nobody], { home });
  const { code } = await daemon.admin.mintCode({});
  const pairing = PalyraProcess.start(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin: code });
  const { request_id: id } = await pairing.line(({ event }) => event === 'words');
  await daemon.admin.approvePairing({ id });
  assert.equal((await pairing.ended).exitCode, 0);
  assert.deepEqual((await answer(['node', 'endpoints'], { home })).node, [daemon.nodeAddress]);
});

test('--host sets the host of every listener and keeps the known ports', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { home } = await pairHome(t, daemon);
  const { node, quic, pairing } = await answer(['node', 'endpoints'], { home });
  const set = await answer(['node', 'endpoints', '--host', '::1', 'daemon.local'], { home });
  for (const [list, known] of [
    [set.node, node],
    [set.quic, quic],
    [set.pairing, pairing],
  ])
    assert.deepEqual(
      list,
      ['[::1]', 'daemon.local'].map((host) => known[0].replace('127.0.0.1', host)),
    );
  const usage = { code: 'USAGE', exitCode: 2 };
  await failure(palyra(['node', 'endpoints', '--host', 'daemon.local:1'], { home }), usage);
  await failure(palyra(['node', 'endpoints', '--node', 'a b'], { home }), usage);
  await failure(palyra(['node', 'endpoints', '--node', 'a', '--reset'], { home }), usage);
  const many = Array.from({ length: 9 }, (_, index) => at(index + 1));
  await failure(palyra(['node', 'endpoints', '--node', ...many], { home }), {
    code: 'MESSAGE_INVALID',
    exitCode: 2,
  });
});

test('a device skips an endpoint with another daemon or none; the endpoints of the reached daemon win', async (t) => {
  const [daemon, other] = [await TestDaemon.start(t), await TestDaemon.start(t)];
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  const told = (node: readonly string[]) => ({ ...paired, told: { pairing: [], node, quic: [], web: [] } });

  const connection = await reachNode(told([nobody, other.nodeAddress, other.pairingAddress]));
  assert.equal(connection.address, daemon.nodeAddress, 'the address of the pairing comes last');
  connection.close();

  const byHand = { node: [other.nodeAddress] };
  await expectCode(reachNode({ ...paired, byHand }), 'DAEMON_NOT_AUTHENTICATED');
  await expectCode(reachNode({ ...paired, byHand: { node: [other.nodeAddress, nobody] } }), 'UNREACHABLE');

  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  const refused = await reachNode(told([daemon.nodeAddress, other.nodeAddress]));
  await expectCode(createClient(NodeService, refused.transport).status({}), 'DEVICE_REVOKED');
  refused.close();
});

test('endpoints arrive with a renewal, a recovery and on the channel; unreadable endpoints change nothing', async (t) => {
  const endpoints = { node: ['Daemon.Example.org:7444', '[2001:DB8::7]:1'] };
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const paired = await pair(daemon, device);
  assert.equal(paired.told, undefined);
  await daemon.stop();
  const again = await TestDaemon.start(t, { endpoints, home: daemon.home });
  const here: PairedEnrollment = { ...paired, nodeAddress: again.nodeAddress, address: again.pairingAddress };

  const node = await again.node(here);
  const renewed = await renewCertificate(device, here, (proof) => node.renew(proof));
  const expected = ['daemon.example.org:7444', '[2001:db8::7]:1'];
  assert.deepEqual(renewed.told?.node, expected);
  const connection = await reachPairing(here);
  again.closeAtEnd(connection);
  const recovered = await recoverCertificate(device, here, recoveryPeer(connection));
  assert.deepEqual(recovered.told?.node, expected);
  const [stored] = (await loadEnrollments(device.secrets)) as PairedEnrollment[];
  assert.deepEqual(nodeEndpoints(stored!), [...expected, again.nodeAddress]);

  const next = await again.node(recovered);
  for (const wrong of [
    ['no endpoint'],
    ['[fe80::1%eth0]:1'],
    [`${'a'.repeat(300)}:1`],
    Array.from({ length: 9 }, (_, index) => at(index + 1)),
  ]) {
    const lying = await renewCertificate(device, { ...recovered }, async (proof) => ({
      ...(await next.renew(proof)),
      endpoints: { pairing: [], node: wrong, quic: [], web: [] },
    }));
    assert.deepEqual(lying.told?.node, expected);
  }
});
