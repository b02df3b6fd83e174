// A daemon and its devices as processes, on unreliable networks and machines.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Transport } from '@palyra/rpc/admin';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { freePort } from '../testing/free-port.ts';
import { LossyLink, lossyLinkMissing } from '../testing/lossy-link.ts';
import { NetworkNamespace, namespacesMissing } from '../testing/network-namespace.ts';
import { answer, configure, type Line, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { until } from '../testing/until.ts';

type Under = { readonly under?: readonly string[]; readonly host?: string };

async function startDaemon(t: TestContext, under: Under = {}, limits: object = {}): Promise<DaemonProcess> {
  const home = await makeHome(t);
  const here = { host: under.host ?? '127.0.0.1' };
  // The same ports after a restart.
  const ports = { pairing: { ...here, port: await freePort() }, node: { ...here, port: await freePort() } };
  await configure(home, { ...ports, quic: here, limits });
  return DaemonProcess.start(t, { home, ...(under.under && { under: under.under }) });
}

/** `palyra pair` and the operator's approval. */
async function pairDevice(t: TestContext, daemon: DaemonProcess, under: Under = {}) {
  const home = join(await makeHome(t), 'device');
  const admin = await daemon.admin();
  const { code } = await admin.mintCode({});
  const words = ['pair', daemon.pairingAddress, '--code-stdin', '--kind', 'node', '--name', 'sensor'];
  const pairing = PalyraProcess.start(words, { home, stdin: code, ...under });
  t.after(async () => void (await pairing.end('SIGKILL')));
  const { request_id: id } = await pairing.line(({ event }) => event === 'words');
  await admin.approvePairing({ id });
  const { device_id: deviceId } = await pairing.line(({ event }) => event === 'paired');
  await pairing.ended;
  return { home, deviceId: deviceId as string };
}

/** `palyra node run` */
function startAgent(t: TestContext, home: string, under: Under = {}): PalyraProcess {
  const agent = PalyraProcess.start(['node', 'run'], { home, ...under });
  t.after(async () => void (await agent.end('SIGKILL')));
  return agent;
}

const isConnected = ({ event }: Line) => event === 'connected';

/** Resolves with the first connection after the first `before` connections. */
function connectedAgain(agent: PalyraProcess, before: number): Promise<Line> {
  return agent.line((line) => isConnected(line) && agent.lines.filter(isConnected).indexOf(line) >= before);
}

/** `palyra node exec`, as the operator: the agent must hear and answer. */
async function echo(daemon: DaemonProcess, deviceId: string, value: string): Promise<void> {
  const words = ['node', 'exec', deviceId, 'echo', '--input', JSON.stringify(value)];
  const { output } = await answer(words, { home: daemon.home });
  assert.equal(output, value);
}

test('two devices run their agents over QUIC, and revoking one leaves the other connected', async (t) => {
  const daemon = await startDaemon(t);
  const devices = [await pairDevice(t, daemon), await pairDevice(t, daemon)] as const;
  const agents = devices.map(({ home }) => startAgent(t, home));
  for (const agent of agents) assert.equal((await agent.line(isConnected)).transport, 'quic');
  for (const { deviceId } of devices) await echo(daemon, deviceId, 'hello');
  await answer(['devices', 'revoke', devices[0].deviceId, '--yes'], { home: daemon.home });
  const { exitCode, lines } = await agents[0]!.ended;
  assert.equal(lines.at(-1)!.error?.code, 'DEVICE_REVOKED');
  assert.notEqual(exitCode, 0);
  await echo(daemon, devices[1].deviceId, 'still here');
  assert.equal(agents[1]!.lines.filter(isConnected).length, 1);
});

test('an agent survives a daemon that is killed and started again', async (t) => {
  const daemon = await startDaemon(t);
  const { home, deviceId } = await pairDevice(t, daemon);
  const agent = startAgent(t, home);
  await agent.line(isConnected);
  await daemon.kill();
  const again = await DaemonProcess.start(t, { home: daemon.home });
  const startedAt = performance.now();
  await connectedAgain(agent, 1);
  t.diagnostic(`back after ${Math.round(performance.now() - startedAt)} ms`);
  await echo(again, deviceId, 'after the restart');
});

test('an agent that slept longer than the daemon waits reconnects when it wakes', async (t) => {
  const daemon = await startDaemon(t, {}, { quicIdleTimeoutMs: 2_000 });
  const { home, deviceId } = await pairDevice(t, daemon);
  const agent = startAgent(t, home);
  await agent.line(isConnected);
  const connections = () => agent.lines.filter(isConnected).length;
  process.kill(agent.pid, 'SIGSTOP');
  const asleep = connections();
  const admin = await daemon.admin();
  const transport = async () => (await admin.getDevice({ id: deviceId })).device?.transport;
  await until(
    'the daemon considers it disconnected',
    async () => (await transport()) === Transport.UNSPECIFIED,
  );
  process.kill(agent.pid, 'SIGCONT');
  await connectedAgain(agent, asleep);
  await echo(daemon, deviceId, 'awake');
});

test('where UDP is blocked, the agent works over HTTP/2 and the operator sees why', {
  skip: namespacesMissing(),
}, async (t) => {
  const namespace = NetworkNamespace.make(t);
  const daemon = await startDaemon(t, namespace);
  const { home, deviceId } = await pairDevice(t, daemon, namespace);
  namespace.blockUdp();
  const agent = startAgent(t, home, namespace);
  const { transport, quic_problem: problem } = await agent.line(isConnected);
  assert.equal(transport, 'http2');
  assert.match(problem, /QUIC/);
  await echo(daemon, deviceId, 'over HTTP/2');
  const { device } = await (await daemon.admin()).getDevice({ id: deviceId });
  assert.equal(device?.transport, Transport.HTTP2);
  assert.equal(device?.quicProblem, problem);
});

test('an agent works over QUIC although 5 % of the packets are lost and the others arrive late and out of order', {
  skip: lossyLinkMissing(),
}, async (t) => {
  const link = await LossyLink.make(t, { loss: 0.05, delayMs: 100, jitterMs: 20 });
  const daemon = await startDaemon(t, { under: link.near.under, host: link.nearHost });
  const { home, deviceId } = await pairDevice(t, daemon, link.far);
  // On such a link, QUIC may also be given up for HTTP/2 (packages/agent/src/dial.ts), but not each time.
  for (let tries = 1; ; tries += 1) {
    const agent = startAgent(t, home, link.far);
    const { transport, quic_problem: problem } = await agent.line(isConnected);
    if (transport === 'quic') break;
    assert.ok(tries < 3, `no QUIC in ${tries} tries: ${problem}`);
    await agent.end('SIGINT');
  }
  const admin = await daemon.admin();
  const input = new TextEncoder().encode(JSON.stringify('x'.repeat(50_000)));
  for (let count = 0; count < 5; count += 1) {
    const { output } = await admin.executeCapability({ deviceId, capability: 'echo', input });
    assert.deepEqual(Buffer.from(output), Buffer.from(input));
  }
  assert.equal((await admin.getDevice({ id: deviceId })).device?.transport, Transport.QUIC);
});
