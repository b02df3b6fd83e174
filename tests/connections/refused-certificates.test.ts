// How foreign clients see a refusal by the node listener: docs/pairing.md 8.3.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import http2 from 'node:http2';
import net from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { certificatesToPem } from '@palyra/identity/certificate';
import { NodeService } from '@palyra/rpc';
import { bareSocket, type Credential, credentialOf } from '../testing/bare-tls.ts';
import { deviceListener } from '../testing/device-listener.ts';
import { grpcGo, grpcio, runForeignWith, type StreamEnd } from '../testing/foreign-clients.ts';
import { day, HeldClock } from '../testing/held-clock.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { longestWaitMs } from '../testing/until.ts';

const path = `/${NodeService.typeName}/${NodeService.method.status.name}`;
const without = (program: string) =>
  spawnSync(program, ['version'], { stdio: 'ignore' }).error ? `${program} is not here` : false;
const notIssued = /This certificate was not issued by this daemon/;

/** A daemon with two devices: the certificate of the first has expired by every clock, and the second is revoked. */
async function scene(t: TestContext) {
  const clock = new HeldClock();
  clock.advance(-2 * day);
  const daemon = await TestDaemon.start(t, { clock });
  const expired = credentialOf(await pair(daemon, await makeDevice({ clock })));
  clock.advance(2 * day);
  const device = await makeDevice({ clock });
  const paired = await pair(daemon, device);
  await daemon.admin.revokeDevice({ id: device.identity.id, reason: 'lost' });
  const foreign = credentialOf(await pair(await TestDaemon.start(t), await makeDevice()));
  const folder = temporaryFolder();
  await writeFile(join(folder, 'roots.pem'), certificatesToPem(daemon.trustBundle));
  return {
    daemon,
    name: daemon.running.trustDomain,
    roots: join(folder, 'roots.pem'),
    paired,
    credentials: { expired, revoked: credentialOf(paired), foreign },
    /** @returns the paths. */
    files: async ({ cert, key }: Credential) => {
      await writeFile(join(folder, 'cert.pem'), cert);
      await writeFile(join(folder, 'key.pem'), key);
      return [join(folder, 'cert.pem'), join(folder, 'key.pem')] as const;
    },
  };
}

/** @returns its whole output, from stdout and stderr. Its input stays open. */
async function said(program: string, words: readonly string[], input = Buffer.alloc(0)): Promise<string> {
  const child = spawn(program, words, { timeout: longestWaitMs, killSignal: 'SIGKILL' });
  child.stdin.on('error', () => {}).write(input);
  return (await Promise.all([text(child.stdout), text(child.stderr)])).join('\n');
}

test('openssl shows the alert, or the reason in GOAWAY', { skip: without('openssl') }, async (t) => {
  const { daemon, name, roots, credentials, files } = await scene(t);
  const client = [
    's_client',
    '-connect',
    daemon.nodeAddress,
    '-servername',
    name,
    '-CAfile',
    roots,
    '-alpn',
    'h2',
  ];
  const hello = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ]);
  assert.match(
    await said('openssl', [...client, '-quiet'], hello),
    /alert certificate required.*alert number 116/,
  );
  const [cert, key] = await files(credentials.foreign);
  assert.match(await said('openssl', [...client, '-quiet', '-cert', cert, '-key', key], hello), notIssued);
});

test('curl shows the alert, or an answer with the reason', { skip: without('curl') }, async (t) => {
  const { daemon, name, roots, credentials, files } = await scene(t);
  const curl = async (...words: string[]) =>
    said('curl', [
      ...['-sS', '--http2', '--noproxy', '*', '--cacert', roots, '--connect-to', `::${daemon.nodeAddress}`],
      ...['-w', ' %{http_code}', '-H', 'content-type: application/json', '-d', '{}', ...words],
      `https://${name}${path}`,
    ]);
  assert.match(await curl(), /alert certificate required/);
  const show = async (credential: Credential) => {
    const [cert, key] = await files(credential);
    return curl('--cert', cert, '--key', key);
  };
  assert.match(await show(credentials.foreign), /"unauthenticated".*not issued by this daemon.* 401/);
  assert.match(await show(credentials.expired), /"unauthenticated".*expired.* 401/);
  assert.match(await show(credentials.revoked), /"unauthenticated".*revoked.* 401/);
});

for (const client of [grpcGo, grpcio]) {
  const { name, skip } = client;

  test(`${name} gets the reason in the status, and an alert without a certificate`, { skip }, async (t) => {
    const { daemon, paired, credentials } = await scene(t);
    const call = (credential?: Credential, more = {}) => {
      const setup = { kind: 'stream', method: path, send: [''], milliseconds: 20_000, ...more } as const;
      return runForeignWith<StreamEnd>(client, daemon.nodeAddress, paired, credential, setup);
    };
    const answer = async (credential: Credential, more = {}) => {
      const { code, message } = await call(credential, more);
      assert.equal(code.toLowerCase(), 'unauthenticated', message);
      return message;
    };
    assert.match(await answer(credentials.expired), /expired/);
    assert.match(await answer(credentials.revoked), /revoked/);
    // By default, Go presents no certificate to a server that does not name its issuer.
    assert.match(await answer(credentials.foreign, { insists: true }), notIssued);
    const none = await call();
    assert.equal(none.code.toLowerCase(), 'unavailable', none.message);
    if (client !== grpcGo) return;
    const required = 'remote error: tls: certificate required';
    assert.equal(none.connection, required);
    assert.equal((await call(credentials.foreign)).connection, required);
  });
}

test('Node shows the alert as an error of each call, or the reason as its answer', async (t) => {
  const { daemon, name, credentials } = await scene(t);
  const call = async (credential?: Credential) => {
    const ca = certificatesToPem(daemon.trustBundle);
    const socket = await bareSocket(daemon.nodeAddress, { ca, servername: name, ...credential });
    const session = http2.connect(`https://${name}`, { createConnection: () => socket });
    t.after(() => socket.destroy());
    session.on('error', () => {});
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/json' });
    return new Promise<string>((resolve) => {
      stream.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code!));
      stream.end('{}');
      void text(stream).then(resolve, () => {});
    });
  };
  assert.equal(await call(), 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  assert.match(await call(credentials.foreign), notIssued);
  assert.match(await call(credentials.expired), /expired/);
});

test('a peer without a certificate is counted once under that reason, and is closed soon', async (t) => {
  const { address, told, event } = await deviceListener(t, { routes: () => {} });
  const [host, port] = address.split(':') as [string, string];
  // Below TLS, because a TLS client would close by itself.
  const raw = net.connect(Number(port), host);
  const secure = tls.connect({ socket: raw, ALPNProtocols: ['h2'], rejectUnauthorized: false });
  const alert = Promise.withResolvers<string | undefined>();
  secure.on('error', ({ code }: NodeJS.ErrnoException) => alert.resolve(code));
  assert.equal(await alert.promise, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
  await event('refused_no_certificate');
  raw.destroy();
  assert.deepEqual(told, ['refused_no_certificate']);
});

test('every call of a peer with a foreign certificate gets one answer, even an incomplete call, and the connection ends', async (t) => {
  const { daemon, name, credentials } = await scene(t);
  const ca = certificatesToPem(daemon.trustBundle);
  const socket = await bareSocket(daemon.nodeAddress, { ca, servername: name, ...credentials.foreign });
  const session = http2.connect(`https://${name}`, { createConnection: () => socket });
  session.on('error', () => {});
  const calls = ['/', path, `${path}/more`].flatMap((each) => Array<string>(30).fill(each));
  const statuses = await Promise.all(
    calls.map(async (each) => {
      const stream = session.request({ ':method': 'POST', ':path': each });
      stream.on('error', () => {}).resume();
      // More bytes than a message may have, without its end.
      stream.write(Buffer.alloc(20_000));
      const [headers] = await once(stream, 'response');
      return headers[':status'];
    }),
  );
  assert.deepEqual(new Set(statuses), new Set([401]));
  await once(socket, 'close');
});
