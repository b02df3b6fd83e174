// A daemon's stop: running calls may end, no new ones begin, every peer is told, and no peer can delay the stop.

import assert from 'node:assert/strict';
import { createSocket, Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Capability, runAgent } from '@palyra/agent';
import { awaitPairing } from '@palyra/identity/device';
import { dialNode, dialPairing } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { longestWaitMs, until } from '../testing/until.ts';

const quic = createQuic();
/** Much less than the grace period, for tests that must not wait for it. */
const soon = { timeout: 30_000 };
const longGrace = { stopGraceMs: 60_000 };

/** A daemon with a device on which a call runs until it is released. */
async function midCall(t: TestContext, transport: 'http2' | 'quic', stopGraceMs: number) {
  const daemon = await TestDaemon.start(t, { limits: { stopGraceMs } });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const dial = () =>
    transport === 'http2' ? dialNode(enrollment.nodeAddress, enrollment) : dialNodeQuic(quic, enrollment);
  const [connected, running, released, told] = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const slow: Capability = async ({ input }) => {
    running!.resolve();
    await released!.promise;
    return input;
  };
  const end = new AbortController();
  const agent = runAgent({
    device,
    enrollment,
    dial,
    dialRecovery: (known) => dialPairing(known.address, known),
    capabilities: new Map([['slow', slow]]),
    platform: 'linux x64',
    signal: end.signal,
    onState: (state) => {
      if (state.state === 'connected') connected!.resolve();
      if (state.state === 'disconnected' && state.error.code === 'UNREACHABLE') told!.resolve();
    },
  });
  agent.catch(() => {});
  t.after(async () => {
    released!.resolve();
    end.abort();
    await agent.catch(() => {});
  });
  await connected!.promise;
  const call = daemon.admin.executeCapability({ deviceId: device.identity.id, capability: 'slow' });
  call.catch(() => {});
  await running!.promise;
  return { daemon, device, enrollment, call, release: released!.resolve, told: told!.promise };
}

for (const transport of ['http2', 'quic'] as const) {
  test(
    `over ${transport}, a call that runs ends with its answer, and nothing new begins`,
    soon,
    async (t) => {
      const { daemon, enrollment, call, release, told } = await midCall(t, transport, 60_000);
      const stopped = daemon.running.close();
      if (transport === 'http2')
        await expectCode(dialNode(enrollment.nodeAddress, enrollment), 'UNREACHABLE');
      else {
        const late = await dialNodeQuic(quic, enrollment);
        await late.closed;
      }
      release();
      assert.equal(Buffer.from((await call).output).toString(), 'null');
      await stopped;
      await told;
    },
  );

  test(`over ${transport}, a call that never ends is cut with the reason when the stop has waited long enough`, async (t) => {
    const { daemon, call, told } = await midCall(t, transport, 100);
    const stopped = daemon.running.close();
    await expectCode(call, 'CAPABILITY_LOST');
    await stopped;
    await told;
  });

  test(`over ${transport}, an impatient stop cuts the call at once`, soon, async (t) => {
    const { daemon, call } = await midCall(t, transport, 60_000);
    const cut = new AbortController();
    const stopped = daemon.running.close(cut.signal);
    cut.abort();
    await expectCode(call, 'CAPABILITY_LOST');
    await stopped;
  });

  test(`over ${transport}, a device that is revoked during the stop is shut out at once`, soon, async (t) => {
    const { daemon, device, call } = await midCall(t, transport, 60_000);
    const stopped = daemon.running.close();
    await daemon.running.identity.revokeDevice(device.identity.id, 'lost');
    await expectCode(call, 'DEVICE_REVOKED');
    await stopped;
  });
}

test('waiting and watching clients are told at once, and reconnect to the next daemon', soon, async (t) => {
  const daemon = await TestDaemon.start(t, { limits: longGrace });
  const device = await makeDevice();
  const pending = await request(daemon, device);
  const waiting = awaitPairing(device, await daemon.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
  waiting.catch(() => {});
  const watch = daemon.admin.watchPairings({})[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value?.id, pending.requestId);
  const stopped = daemon.running.close();
  await expectCode(watch.next(), 'UNREACHABLE');
  await expectCode(waiting, 'UNREACHABLE');
  await stopped;

  const next = await TestDaemon.start(t, { home: daemon.home });
  await next.admin.approvePairing({ id: pending.requestId });
  const paired = await awaitPairing(device, await next.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
  assert.equal(paired.state, 'paired');
});

test('neither idle connections nor silent strangers delay the stop', soon, async (t) => {
  const daemon = await TestDaemon.start(t, { limits: longGrace });
  const device = await makeDevice();
  const enrollment = await pair(daemon, device);
  const idle = [await dialNode(enrollment.nodeAddress, enrollment), await dialNodeQuic(quic, enrollment)];
  const [host, port] = daemon.pairingAddress.split(':');
  const stranger = connect(Number(port), host);
  stranger.on('error', () => {});
  await once(stranger, 'connect');
  const gone = once(stranger, 'close');
  await daemon.running.close();
  await Promise.all([gone, ...idle.map(({ closed }) => closed)]);
});

/** A daemon whose own certificate is due, and a signer that waits until the test releases it. */
async function midSignature(t: TestContext) {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits: longGrace });
  clock.advance(5 * day);
  const { identity } = daemon.running;
  const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const issue = identity.issueServerCredential.bind(identity);
  t.mock.method(identity, 'issueServerCredential', async (names: Parameters<typeof issue>[0]) => {
    asked.resolve();
    await answered.promise;
    return issue(names);
  });
  const ticked = daemon.running.tick();
  ticked.catch(() => {});
  await asked.promise;
  return { daemon, ticked, answer: answered.resolve };
}

test('a certificate that is being issued neither delays the stop nor reopens a listener', soon, async (t) => {
  const { daemon, ticked, answer } = await midSignature(t);
  const stopped = daemon.running.close();
  for (const address of [daemon.nodeAddress, daemon.pairingAddress]) await whenFree('tcp', address);
  const { address: quicAddress } = daemon.running.listeners.find(({ name }) => name === 'quic')!;
  await whenFree('udp', quicAddress);
  answer();
  // The signature finishes while the registry is still open.
  await ticked;
  await stopped;
  await bind('udp', quicAddress);
  await daemon.running.tick();
});

test('an impatient stop does not wait for the signer', soon, async (t) => {
  const { daemon, ticked, answer } = await midSignature(t);
  await daemon.running.close(AbortSignal.abort());
  answer();
  await expectCode(ticked, 'STORE_FAILED');
});

/** @throws EADDRINUSE while a listener uses the address. */
async function bind(protocol: 'tcp' | 'udp', address: string): Promise<void> {
  const [host, port] = address.split(':');
  const probe = protocol === 'udp' ? createSocket('udp4') : createServer();
  if (probe instanceof Socket) probe.bind({ address: host!, port: Number(port), exclusive: true });
  else probe.listen({ host, port: Number(port), exclusive: true });
  await once(probe, 'listening');
  probe.close();
}

async function whenFree(protocol: 'tcp' | 'udp', address: string): Promise<void> {
  const isFree = () =>
    bind(protocol, address).then(
      () => true,
      () => false,
    );
  await until(`${protocol} ${address} is free`, isFree);
}
