// Every form of a daemon's address that a person can type, with real listeners: pairing, calls over HTTP/2 and QUIC,
// remote operator calls and a recovery.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { DeviceRole } from '@palyra/rpc/admin';
import { parseEndpoint, withPort } from '../../packages/identity/src/endpoint.ts';
import { bareSocket, credentialOf } from '../testing/bare-tls.ts';
import { answer, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';

const everywhere = '::';
const portOf = (address: string) => parseEndpoint(address).port;
const own = Object.entries(networkInterfaces()).flatMap(([name, list]) =>
  (list ?? []).filter(({ internal }) => !internal).map((each) => ({ ...each, name })),
);
const global = own.find(({ family, address }) => family === 'IPv6' && !address.startsWith('fe80'))?.address;
const local = own.find(({ address }) => address.startsWith('fe80'));

const forms: readonly { readonly name: string; readonly written: string | undefined }[] = [
  { name: 'IPv4', written: '127.0.0.1' },
  { name: 'a name', written: 'localhost' },
  { name: 'a name in capitals', written: 'LocalHost' },
  { name: "the machine's own name", written: hostname() },
  { name: 'IPv6', written: '[::1]' },
  { name: 'IPv6 in full', written: '[0:0:0:0:0:0:0:1]' },
  { name: 'IPv4 in IPv6', written: '[::ffff:127.0.0.1]' },
  { name: 'a global address of IPv6', written: global && `[${global.toUpperCase()}]` },
  { name: 'a link-local address with its zone', written: local && `[${local.address}%${local.name}]` },
];

/** Runs `palyra pair` in this process, with a code that needs no operator. */
async function pairAt(t: TestContext, daemon: TestDaemon, address: string) {
  const home = join(await makeHome(t), 'device');
  const { code } = await daemon.admin.mintCode({ autoApprove: true });
  const paired = await answer(['pair', address, '--code-stdin'], { home, stdin: code });
  return { home, paired };
}

for (const { name, written } of forms) {
  const skip = written === undefined && 'NOT TESTED: this machine has no such address';
  test(`a device pairs, calls and recovers at ${name}`, { skip }, async (t) => {
    const daemon = await TestDaemon.start(t, { host: everywhere });
    const at = `${written}:${portOf(daemon.pairingAddress)}`;
    const { home, paired } = await pairAt(t, daemon, at);
    const node = `${written}:${portOf(daemon.nodeAddress)}`;
    assert.equal(paired.node_address, withPort(node, portOf(daemon.nodeAddress)));

    const status = await answer(['node', 'status'], { home });
    assert.equal(status.address, paired.node_address);
    await answer(['node', 'status', '--address', node], { home });
    await answer(['renew'], { home });
    await answer(['renew', '--recover'], { home });

    await daemon.admin.setDeviceRole({ id: paired.device_id, role: DeviceRole.OPERATOR });
    assert.equal((await answer(['--remote', 'status'], { home })).daemon_id, daemon.running.daemonId);
    // Also a stream of answers.
    await answer(['--remote-address', node, 'ca', 'crl'], { home });

    const agent = PalyraProcess.start(['node', 'run'], { home });
    t.after(async () => void (await agent.end('SIGKILL')));
    const { transport } = await agent.line(({ event }) => event === 'connected');
    assert.equal(transport, written?.includes('%') ? 'http2' : 'quic', JSON.stringify(agent.lines));
    await agent.end('SIGINT');
  });
}

test('an IPv6 address needs neither brackets nor the default port', async (t) => {
  const { parseAddress } = await import('../../packages/cli/src/address.ts');
  const daemon = await TestDaemon.start(t, { host: '::1' });
  assert.equal(daemon.pairingAddress, parseAddress('::1', portOf(daemon.pairingAddress)));
  const { paired } = await pairAt(t, daemon, daemon.pairingAddress);
  assert.equal(paired.node_address, daemon.nodeAddress);
});

test('a plain Node client that names an IPv6 address without brackets is served', async (t) => {
  const daemon = await TestDaemon.start(t, { host: '::1' });
  const enrollment = await pair(daemon, await makeDevice());
  const socket = await bareSocket(daemon.nodeAddress, {
    servername: enrollment.trustDomain,
    rejectUnauthorized: false,
    ...credentialOf(enrollment),
  });
  const session = http2.connect(`https://${daemon.nodeAddress}`, { createConnection: () => socket });
  t.after(() => session.destroy());
  const call = session.request({
    ':method': 'POST',
    ':path': '/palyra.node.v1.NodeService/Events',
    'content-type': 'application/grpc+proto',
    te: 'trailers',
  });
  call.end(Buffer.alloc(5));
  const [headers] = await once(call, 'response');
  call.resume();
  assert.equal(headers[':status'], 200);
});
