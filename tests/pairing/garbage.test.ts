// Bytes that are not TLS, HTTP/2 or protobuf, or too many bytes: only their own connection is affected.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { Code, createClient } from '@connectrpc/connect';
import { requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { dialPairing, PairingService, pairingPeer } from '@palyra/rpc';
import { DeviceKind, PairingState } from '@palyra/rpc/admin';
import { bareSocket } from '../testing/bare-tls.ts';
import { expectCode } from '../testing/expect-code.ts';
import { frame, type RawAnswer, rawCall } from '../testing/raw-call.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, request } from '../testing/sample-device.ts';

const service = `/${PairingService.typeName}`;
const tooLarge = 17 * 1024;
const listeners = ['pairing', 'node'] as const;

function addressOf(daemon: TestDaemon, listener: (typeof listeners)[number]): { host: string; port: number } {
  const address = listener === 'pairing' ? daemon.pairingAddress : daemon.nodeAddress;
  const [host, port] = address.split(':') as [string, string];
  return { host, port: Number(port) };
}

async function http2Session(t: TestContext, daemon: TestDaemon): Promise<http2.ClientHttp2Session> {
  const socket = await bareSocket(daemon.pairingAddress, { rejectUnauthorized: false });
  const session = http2.connect(`https://${daemon.pairingAddress}`, { createConnection: () => socket });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return session;
}

/** The number of the gRPC status, from headers or trailers. */
function statusOf({ headers, trailers }: RawAnswer): number {
  return Number(trailers['grpc-status'] ?? headers['grpc-status']);
}
const resourceExhausted = 8;
const unimplemented = 12;
/** gRPC's answer to a message that cannot be decoded. */
const internal = 13;

const openMessage = (slot: Uint8Array) =>
  toBinary(
    PairingService.method.open.input,
    create(PairingService.method.open.input, { version: 2, slot, clientKind: DeviceKind.CLI }),
  );

async function answers(session: http2.ClientHttp2Session): Promise<void> {
  const answer = await rawCall(session, `${service}/Open`, frame(openMessage(Buffer.from('123'))));
  assert.equal(statusOf(answer), 0);
}

for (const listener of listeners) {
  test(`garbage instead of TLS ends its own connection to the ${listener} listener`, async (t) => {
    const daemon = await TestDaemon.start(t);
    for (const garbage of [
      randomBytes(4096),
      Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      // A handshake record that announces more bytes than TLS allows.
      Buffer.concat([Buffer.of(0x16, 0x03, 0x01, 0xff, 0xff), randomBytes(100)]),
    ]) {
      const socket = net.connect(addressOf(daemon, listener));
      socket.on('error', () => {});
      socket.end(garbage);
      socket.resume();
      await once(socket, 'close');
    }
    await request(daemon, await makeDevice());
  });
}

test('connections that are cut at any moment do not affect others', async (t) => {
  const daemon = await TestDaemon.start(t);
  for (const listener of listeners) {
    for (let round = 0; round < 5; round += 1) {
      const early = net.connect(addressOf(daemon, listener));
      await once(early, 'connect');
      early.resetAndDestroy();
      const address = listener === 'pairing' ? daemon.pairingAddress : daemon.nodeAddress;
      const late = await bareSocket(address, { rejectUnauthorized: false });
      late.on('error', () => {});
      late.destroy();
    }
  }
  await request(daemon, await makeDevice());
});

test('garbage instead of HTTP/2 ends its own connection', async (t) => {
  const daemon = await TestDaemon.start(t);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const settings = Buffer.from('000000040000000000', 'hex');
  for (const garbage of [
    randomBytes(4096),
    Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
    Buffer.concat([preface, randomBytes(4096)]),
    // HEADERS with an invalid HPACK block, and a frame that claims 16 MiB.
    Buffer.concat([preface, settings, Buffer.from('00000801040000000fffffffffffffffff', 'hex')]),
    Buffer.concat([preface, settings, Buffer.from('ffffff000000000001', 'hex')]),
  ]) {
    const socket = await bareSocket(daemon.pairingAddress, { rejectUnauthorized: false });
    socket.on('error', () => {});
    socket.resume();
    socket.write(garbage);
    await once(socket, 'close');
  }
  await request(daemon, await makeDevice());
});

test('garbage instead of protobuf gets an answer, and the connection continues', async (t) => {
  const daemon = await TestDaemon.start(t);
  const session = await http2Session(t, daemon);
  for (const method of ['Open', 'Exchange', 'Confirm', 'Await']) {
    // A field of the invalid type 7; a length past the end of the message; an endless varint.
    for (const hex of ['0f', '0aff', 'ffffffffffffffffffffff']) {
      const answer = await rawCall(session, `${service}/${method}`, frame(Buffer.from(hex, 'hex')));
      const expected = method === 'Await' ? Code.InvalidArgument : internal;
      assert.equal(statusOf(answer), expected, `${method} ${hex}`);
    }
  }
  await answers(session);
});

test('a truncated, empty or compressed frame gets an answer, and the connection continues', async (t) => {
  const daemon = await TestDaemon.start(t);
  const session = await http2Session(t, daemon);
  const good = frame(openMessage(Buffer.from('123')));
  const compressed = Buffer.concat([Buffer.of(1), good.subarray(1)]);
  for (const body of [good.subarray(0, 3), good.subarray(0, 8), Buffer.alloc(0), compressed]) {
    assert.notEqual(statusOf(await rawCall(session, `${service}/Open`, body)), 0);
  }
  const zipped = await rawCall(session, `${service}/Open`, compressed, { 'grpc-encoding': 'gzip' });
  assert.equal(statusOf(zipped), unimplemented);
  await answers(session);
});

test('other paths, methods and content types get an answer, and the connection continues', async (t) => {
  const daemon = await TestDaemon.start(t);
  const session = await http2Session(t, daemon);
  const body = frame(openMessage(Buffer.from('123')));
  for (const path of [
    '/',
    `${service}/`,
    `${service}/open`,
    `${service}/Open/`,
    '/palyra.node.v1.NodeService/Status',
    '/palyra.admin.v1.AdminService/MintCode',
    '/../../etc/passwd',
    `/${'x'.repeat(8000)}`,
  ]) {
    assert.equal((await rawCall(session, path, body)).headers[':status'], '404', path);
  }
  const get = await rawCall(session, `${service}/Open`, Buffer.alloc(0), { ':method': 'GET' });
  assert.notEqual(get.headers[':status'], '200');
  const text = await rawCall(session, `${service}/Open`, body, { 'content-type': 'text/plain' });
  assert.equal(text.headers[':status'], '415');
  const json = await rawCall(session, `${service}/Open`, Buffer.from('{"slot": nonsense'), {
    'content-type': 'application/json',
  });
  assert.equal(json.headers[':status'], '400');
  await answers(session);
});

test('a message of 17 KiB is refused by every call, and the same connection pairs a device after it', async (t) => {
  const daemon = await TestDaemon.start(t);
  const connection = await dialPairing(daemon.pairingAddress);
  daemon.closeAtEnd(connection);
  const client = createClient(PairingService, connection.transport);
  const large = new Uint8Array(tooLarge);
  await expectCode(client.open({ slot: large }), 'MESSAGE_TOO_LARGE');
  await expectCode(client.exchange({ deviceHello: large }), 'MESSAGE_TOO_LARGE');
  await expectCode(client.confirm({ tlsKeyProof: large }), 'MESSAGE_TOO_LARGE');
  const awaiting = client.await({ proof: large })[Symbol.asyncIterator]();
  await expectCode(awaiting.next(), 'MESSAGE_TOO_LARGE');
  // A message of the largest allowed size is parsed, and refused for another reason.
  await expectCode(client.open({ version: 2, slot: new Uint8Array(16 * 1024 - 32) }), 'MESSAGE_INVALID');

  await request(daemon, await makeDevice(), pairingPeer(connection));
});

test('a frame that claims a gigabyte is refused before it is read', async (t) => {
  const daemon = await TestDaemon.start(t);
  const session = await http2Session(t, daemon);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(2 ** 30, 1);
  const stream = session.request({
    ':method': 'POST',
    ':path': `${service}/Exchange`,
    'content-type': 'application/grpc+proto',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.resume();
  // The stream stays open. The answer comes before the message is complete.
  stream.write(Buffer.concat([head, Buffer.alloc(1000)]));
  const [headers] = await once(stream, 'response');
  assert.equal(Number(headers['grpc-status']), resourceExhausted);
  await once(stream, 'close');
  assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR, 'it is not asked to continue');
  await answers(session);
});

test('headers of more than 16 KiB, or more than 64 of them, reach no handler', async (t) => {
  const daemon = await TestDaemon.start(t);
  const session = await http2Session(t, daemon);
  // The limit applies once the client has received it.
  await answers(session);
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x-${n}`, 'x']));
  for (const headers of [{ 'x-padding': 'x'.repeat(tooLarge) }, many]) {
    await assert.rejects(
      rawCall(session, `${service}/Open`, frame(openMessage(Buffer.from('123'))), headers),
      /NGHTTP2_ENHANCE_YOUR_CALM/,
    );
  }
  await answers(await http2Session(t, daemon));
});

test('a peer that breaks off in the middle of a handshake leaves a session, and nothing else', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, pairingId } = await daemon.admin.mintCode({});
  const session = await http2Session(t, daemon);
  const answer = await rawCall(session, `${service}/Open`, frame(openMessage(parsePairingCode(code).slot)));
  assert.equal(statusOf(answer), 0);
  session.destroy();
  await once(session, 'close');
  await requestPairing(
    await makeDevice(),
    await daemon.peer(),
    parsePairingCode(code),
    daemon.pairingAddress,
  );
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).state, PairingState.PENDING_APPROVAL);
});
