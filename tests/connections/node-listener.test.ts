// The node listener's TLS, and the life of its connections.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createClient } from '@connectrpc/connect';
import type { IdentityManager } from '@palyra/identity';
import { awaitPairing, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { systemClock } from '@palyra/identity/values';
import { dialNode, NodeService } from '@palyra/rpc';
import {
  type DeviceAuthenticator,
  type Http2Limits,
  Http2Listener,
  type ListenerEvent,
} from '@palyra/rpc/transport';
import { bareSocket, connectNode, credentialOf } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour } from '../testing/held-clock.ts';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { longestWaitMs } from '../testing/until.ts';

async function start(t: TestContext, clock?: HeldClock) {
  const daemon = await TestDaemon.start(t, clock ? { clock } : {});
  const device = await makeDevice(clock ? { clock } : {});
  const paired = await pair(daemon, device);
  return { daemon, device, paired, credential: credentialOf(paired) };
}

for (const listener of ['pairing', 'node'] as const) {
  test(`the ${listener} listener speaks TLS 1.3 and HTTP/2 only`, async (t) => {
    const { daemon, credential } = await start(t);
    const address = listener === 'node' ? daemon.nodeAddress : daemon.pairingAddress;
    const options = { rejectUnauthorized: false, ...credential };
    for (const version of ['TLSv1', 'TLSv1.1', 'TLSv1.2'] as const) {
      await assert.rejects(
        bareSocket(address, {
          ...options,
          minVersion: 'TLSv1',
          maxVersion: version,
          ciphers: 'DEFAULT@SECLEVEL=0',
        }),
        { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' },
      );
    }
    await assert.rejects(bareSocket(address, { ...options, ALPNProtocols: ['http/1.1'] }), {
      code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    });
    const silent = await bareSocket(address, { ...options, ALPNProtocols: [] });
    silent.on('error', () => {});
    silent.resume();
    await once(silent, 'close');
    const socket = await bareSocket(address, options);
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    assert.equal(socket.alpnProtocol, 'h2');
    socket.destroy();
  });

  test(`the ${listener} listener negotiates the hybrid key exchange that resists a quantum attacker`, async (t) => {
    const { daemon, credential } = await start(t);
    const address = listener === 'node' ? daemon.nodeAddress : daemon.pairingAddress;
    const tap = await tapServerHello(t, address);
    const socket = await bareSocket(tap.address, { rejectUnauthorized: false, ...credential });
    assert.equal((await tap.keyShareGroup).toString(16), '11ec', 'X25519MLKEM768 in the ServerHello');
    assert.equal((socket.getEphemeralKeyInfo() as { name?: string }).name, 'X25519MLKEM768');
    socket.destroy();
    const only = await bareSocket(address, {
      rejectUnauthorized: false,
      ...credential,
      ecdhCurve: 'X25519MLKEM768',
    });
    only.destroy();
  });
}

/** Forwards bytes, and reads the key exchange group from the ServerHello, which is not encrypted (RFC 8446 4.1.3). */
async function tapServerHello(t: TestContext, target: string) {
  const [host, port] = target.split(':') as [string, string];
  const group = Promise.withResolvers<number>();
  const sockets = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), host);
    for (const each of [near, far]) {
      sockets.add(each);
      each.on('error', () => {});
    }
    near.pipe(far).pipe(near);
    far.once('data', (data: Buffer) => group.resolve(groupIn(data)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const each of sockets) each.destroy();
    server.close();
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    keyShareGroup: group.promise,
  };
}

function groupIn(record: Buffer): number {
  // Record header 5, handshake header 4, version 2, random 32, session id, cipher suite 2, compression 1.
  let at = 5 + 4 + 2 + 32;
  at += 1 + record[at]! + 2 + 1;
  const end = at + 2 + record.readUInt16BE(at);
  for (at += 2; at < end; at += 4 + record.readUInt16BE(at + 2)) {
    if (record.readUInt16BE(at) === 51) return record.readUInt16BE(at + 4);
  }
  return 0;
}

test('a resumed TLS session is admitted like a new one', async (t) => {
  const { daemon, device, credential } = await start(t);
  const first = await connectNode(daemon, credential);
  await first.node.status({});
  const session = await first.ticket();
  first.close();

  const resumed = await connectNode(daemon, { ...credential, session });
  assert.equal(resumed.socket.isSessionReused(), true);
  assert.equal((await resumed.node.status({})).deviceId, device.identity.id);
});

test('a ticket from before the revocation resumes TLS, but no call succeeds', async (t) => {
  const { daemon, device, credential } = await start(t);
  const first = await connectNode(daemon, credential);
  await first.node.status({});
  const session = await first.ticket();
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await first.closed;
  // Also without the certificate and its key, because TLS treats the holder of a ticket as its first owner.
  for (const options of [{ ...credential, session }, { session }]) {
    const resumed = await connectNode(daemon, options);
    assert.equal(resumed.socket.isSessionReused(), true);
    await expectCode(resumed.node.status({}), 'DEVICE_REVOKED');
    await resumed.closed;
  }
});

test('a ticket of one listener does not work at the other, and no ticket outlives the daemon', async (t) => {
  const { daemon, credential } = await start(t);
  const pairing = await bareSocket(daemon.pairingAddress, {
    rejectUnauthorized: false,
    servername: daemon.running.trustDomain,
  });
  const [stranger] = (await once(pairing, 'session')) as [Buffer];
  pairing.destroy();
  const connection = await connectNode(daemon, { session: stranger });
  assert.equal(connection.socket.isSessionReused(), false);
  await assert.rejects(connection.node.status({}));

  const good = await connectNode(daemon, credential);
  await good.node.status({});
  const session = await good.ticket();
  await daemon.stop();
  const again = await TestDaemon.start(t, { home: daemon.home });
  const afterwards = await connectNode(again, { ...credential, session });
  assert.equal(afterwards.socket.isSessionReused(), false);
  await afterwards.node.status({});
});

test('a revocation closes the live connections of its device, and no others', async (t) => {
  const { daemon, device, paired } = await start(t);
  const bystander = await daemon.node(await pair(daemon, await makeDevice()));
  const connections = await Promise.all([daemon.node(paired), daemon.node(paired), daemon.node(paired)]);
  for (const each of [bystander, ...connections]) await each.status({});
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  await Promise.all(connections.map((each) => each.closed));
  await bystander.status({});
});

test('a revoked certificate closes its live connections', async (t) => {
  const { daemon, paired } = await start(t);
  const connection = await daemon.node(paired);
  const { serial } = await connection.status({});
  await daemon.admin.revokeCertificate({ serial, reason: 'copied' });
  await connection.closed;
});

test('an idle connection does not outlive its certificate', async (t) => {
  const clock = new HeldClock();
  const { daemon, paired } = await start(t, clock);
  const connection = await daemon.node(paired);
  await connection.status({});
  clock.advance(day);
  await connection.closed;
});

test('with the clock set back, a certificate that is not valid yet is refused', async (t) => {
  const clock = new HeldClock();
  const { daemon, paired } = await start(t, clock);
  const connection = await daemon.node(paired);
  await connection.status({});
  clock.advance(-hour);
  await expectCode(connection.status({}), 'CERTIFICATE_NOT_YET_VALID');
  clock.advance(hour);
  await (await daemon.node(paired)).status({});
});

/** The listener alone, on a registry in memory, with a verdict that the test can delay. */
async function listenAlone(
  t: TestContext,
  authenticator?: Partial<DeviceAuthenticator>,
  limits: Partial<Http2Limits> = {},
) {
  const identity = await openIdentity(t);
  const device = await makeDevice();
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'localhost:1' });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'localhost:1');
  await identity.desk.approve(pending.requestId);
  const paired = await awaitPairing(device, peerOf(identity), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
  const names = { dnsNames: [], ipAddresses: [] };
  const handled: string[] = [];
  const events = new EventEmitter();
  const listener = await Http2Listener.listen({
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    limits,
    credential: await identity.issueServerCredential(names),
    devices: {
      trustBundle: identity.trustBundle,
      authenticator: {
        admit: (fingerprint) => identity.admit(fingerprint),
        authenticate: (fingerprint) => identity.authenticate(fingerprint),
        get revocationEpoch() {
          return identity.revocationEpoch;
        },
        upToDate: () => identity.upToDate(),
        chainJudge: identity.chainJudge,
        ...authenticator,
      },
    },
    routes: (router) =>
      router.service(NodeService, {
        status: () => {
          handled.push('status');
          return {};
        },
      }),
    onInternal: (error) => assert.fail(error as Error),
    onEvent: (event) => events.emit(event),
  });
  const unsubscribe = identity.registry.enforce((event) => listener.apply(event));
  t.after(async () => {
    unsubscribe();
    await listener.close();
  });
  const dial = async () => {
    const connection = await dialNode(`127.0.0.1:${listener.port}`, paired);
    t.after(() => connection.close());
    return { ...connection, node: createClient(NodeService, connection.transport) };
  };
  return {
    identity,
    device,
    listener,
    handled,
    told: (event: ListenerEvent) => once(events, event, { signal: AbortSignal.timeout(longestWaitMs) }),
    dial,
    newCredential: () => identity.issueServerCredential(names),
  };
}

test('a session without traffic is closed, and a session with occasional calls is not', async (t) => {
  const { dial } = await listenAlone(t, {}, { idleTimeoutMs: 2_000 });
  const [silent, busy] = [await dial(), await dial()];
  await silent.node.status({});
  let isClosed = false;
  void busy.closed.then(() => {
    isClosed = true;
  });
  const started = performance.now();
  const calling = setInterval(() => void busy.node.status({}), 200);
  t.after(() => clearInterval(calling));
  await silent.closed;
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds > 1.9, `after ${seconds} s`);
  assert.equal(isClosed, false);
  await busy.node.status({});
});

test('a new server certificate is shown to new connections, and old connections stay', async (t) => {
  const { identity, listener, dial, newCredential } = await listenAlone(t);
  const shown = async () => {
    const socket = await bareSocket(`127.0.0.1:${listener.port}`, { rejectUnauthorized: false });
    const { raw } = socket.getPeerCertificate();
    socket.destroy();
    return raw;
  };
  const before = await dial();
  await before.node.status({});
  const old = await shown();
  const credential = await newCredential();
  listener.swapCredential(credential, identity.trustBundle);
  assert.deepEqual(await shown(), Buffer.from(credential.certificateChain[0]!));
  assert.notDeepEqual(await shown(), old);
  await before.node.status({});
  await (await dial()).node.status({});
});

/** An admission that has the registry's answer, and is delayed before the listener gets it. */
async function admissionHeldBack(t: TestContext) {
  const checked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let identity: IdentityManager | undefined;
  const alone = await listenAlone(t, {
    admit: async (fingerprint) => {
      const verdict = await identity!.admit(fingerprint);
      checked.resolve();
      await gate.promise;
      return verdict;
    },
  });
  identity = alone.identity;
  return { ...alone, checked: checked.promise, letGo: () => gate.resolve() };
}

test('a revocation while a connection is being admitted refuses it, without a call', async (t) => {
  const { dial, identity, device, checked, letGo, told } = await admissionHeldBack(t);
  const connection = await dial();
  await checked;
  await identity.revokeDevice(device.identity.id, 'lost');
  letGo();
  await told('refused_standing');
  connection.close();
});

test('a revocation while a connection is being admitted refuses its first call', async (t) => {
  const { dial, identity, device, handled, checked, letGo } = await admissionHeldBack(t);
  const connection = await dial();
  const call = connection.node.status({});
  await checked;
  await identity.revokeDevice(device.identity.id, 'lost');
  letGo();
  await expectCode(call, 'DEVICE_REVOKED');
  await connection.closed;
  assert.deepEqual(handled, []);
});

test('each call is checked against the registry at that moment, not at the start of the connection', async (t) => {
  const { dial, handled, identity, device } = await listenAlone(t);
  const connection = await dial();
  await connection.node.status({});
  // Like another process that shares the registry and sends no events here.
  await identity.registry.transact(async (tx) => {
    const stored = (await tx.device(device.identity.id))!;
    await tx.updateDevice({ ...stored, state: 'revoked', revocationReason: 'lost' });
  });
  await expectCode(connection.node.status({}), 'DEVICE_REVOKED');
  await connection.closed;
  assert.deepEqual(handled, ['status']);
});
