// The node listener makes OpenSSL refuse a peer without a certificate. Also shows why a foreign certificate gets no alert.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { before, type TestContext, test } from 'node:test';
import tls, { TLSSocket } from 'node:tls';
import { certificatesToPem } from '@palyra/identity/certificate';
import { systemClock } from '@palyra/identity/values';
import { SampleAuthority } from '../../packages/identity/src/certificate/testing/sample-authority.ts';
import {
  requireCertificate,
  showedNoCertificate,
} from '../../packages/rpc/src/http2/required-certificate.ts';

let sample: SampleAuthority;
let foreign: SampleAuthority;
before(async () => {
  sample = await SampleAuthority.create(systemClock.now());
  foreign = await SampleAuthority.create(systemClock.now());
});

const deviceCredential = async (from: SampleAuthority) => ({
  cert: certificatesToPem([(await from.device()).der, from.authority.issuingCertificate]),
  key: from.deviceKey.toPem(),
});

async function listen(t: TestContext, options: tls.TlsOptions) {
  const { der } = await sample.daemon([], ['127.0.0.1']);
  const server = tls.createServer({
    cert: certificatesToPem([der, sample.authority.issuingCertificate]),
    key: sample.daemonKey.toPem(),
    ca: certificatesToPem(sample.authority.trustBundle()),
    minVersion: 'TLSv1.3',
    ...options,
  });
  const sockets: net.Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, sockets, port };
}

/** A client that writes before it reads. @returns the code of the error that ends it, or undefined. */
function ending(port: number, options: tls.ConnectionOptions = {}): Promise<string | undefined> {
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port, ALPNProtocols: ['h2'], rejectUnauthorized: false, ...options },
  });
  socket.once('secureConnect', () => {
    socket.write(Buffer.alloc(100));
    setImmediate(() => socket.write(Buffer.alloc(100)));
  });
  socket.resume();
  return new Promise((resolve) => {
    socket.once('close', () => resolve(undefined));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code);
      // After an alert, Node leaves this to us.
      socket.destroy();
    });
  });
}

const certificateRequired = 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED';

test('Node lets a handshake with a foreign certificate finish, and then closes without an alert', async (t) => {
  const { server, port } = await listen(t, {
    ALPNProtocols: ['h2'],
    requestCert: true,
    rejectUnauthorized: true,
  });
  const refused = once(server, 'tlsClientError');
  const secured = Promise.withResolvers<void>();
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port, ALPNProtocols: ['h2'], rejectUnauthorized: false },
    ...(await deviceCredential(foreign)),
  });
  socket.once('secureConnect', () => secured.resolve());
  const errors: Error[] = [];
  socket.on('error', (error) => errors.push(error));
  socket.resume();
  await secured.promise;
  await once(socket, 'close');
  assert.deepEqual(errors, []);
  const [error] = await refused;
  assert.equal(error.code, 'ECONNRESET', 'not an error of OpenSSL, which would have sent an alert');
});

test('a peer without a certificate reads the alert, even if it writes first', async (t) => {
  const missing: TLSSocket[] = [];
  const { server, port } = await listen(
    t,
    requireCertificate((socket) => missing.push(socket)),
  );
  server.on('secureConnection', () => assert.fail('a peer was accepted'));
  for (let round = 0; round < 20; round += 1) assert.equal(await ending(port), certificateRequired);
  assert.equal(missing.length, 20);
  const refused = once(server, 'tlsClientError');
  missing[0]!.destroy();
  const [error] = await refused;
  assert.ok(showedNoCertificate(error), error.code);
});

test('after the alert nothing more is read from the peer', async (t) => {
  const told: (() => void)[] = [];
  const { sockets, port } = await listen(
    t,
    requireCertificate(() => told.shift()?.()),
  );
  const refusal = () => new Promise<void>((resolve) => told.push(resolve));
  // Below TLS, because a TLS client ends at the alert.
  const far = net.connect(port, '127.0.0.1');
  far.on('error', () => {});
  const relay = net.createServer((near) => {
    near.on('error', () => {});
    near.pipe(far, { end: false }).pipe(near);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  t.after(() => {
    far.destroy();
    relay.close();
  });
  const first = refusal();
  assert.equal(await ending((relay.address() as AddressInfo).port), certificateRequired);
  await first;
  const read = sockets[0]!.bytesRead;
  await new Promise<void>((resolve) => far.write(Buffer.alloc(256 * 1024), () => resolve()));
  // When this has ended, the server would have read it.
  const second = refusal();
  assert.equal(await ending(port), certificateRequired);
  await second;
  assert.equal(sockets[0]!.bytesRead, read);
  assert.equal(sockets[0]!.destroyed, false);
});

test("a peer with a certificate gets through, together with OpenSSL's verdict", async (t) => {
  const { server, port } = await listen(
    t,
    requireCertificate(() => assert.fail('every peer has a certificate')),
  );
  const verdict = async (from: SampleAuthority) => {
    const secured = once(server, 'secureConnection');
    const ended = ending(port, await deviceCredential(from));
    const [socket] = (await secured) as [TLSSocket];
    const { authorized, authorizationError, alpnProtocol } = socket;
    socket.destroy();
    await ended;
    return { authorized, authorizationError: authorizationError as unknown, alpnProtocol };
  };
  assert.deepEqual(await verdict(sample), { authorized: true, authorizationError: null, alpnProtocol: 'h2' });
  assert.deepEqual(await verdict(foreign), {
    authorized: false,
    authorizationError: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    alpnProtocol: 'h2',
  });
});

test('a client that offers no protocol gets no further with a foreign certificate', async (t) => {
  const { server, port } = await listen(
    t,
    requireCertificate(() => {}),
  );
  server.on('secureConnection', () => assert.fail('the client was accepted'));
  const refused = once(server, 'tlsClientError');
  const credential = await deviceCredential(foreign);
  await ending(port, { ...credential, ALPNProtocols: [] });
  await refused;
});

test('a Node that checks certificates elsewhere is detected at the start', (t) => {
  const { prototype } = TLSSocket as unknown as { prototype: object };
  t.after(() => Reflect.deleteProperty(prototype, '_rejectUnauthorized'));
  // Rejects whatever value is written.
  Object.defineProperty(prototype, '_rejectUnauthorized', {
    configurable: true,
    get: () => true,
    set: () => {},
  });
  assert.throws(() => requireCertificate(() => {}), /this version of Node/);
});
