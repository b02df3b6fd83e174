// Uses the certificates for mutual TLS 1.3 between Node and Node, curl and openssl.

import assert from 'node:assert/strict';
import { createServer, get, type RequestOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { before, describe, it, type TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { systemClock } from '../clock.ts';
import { readPeerCertificate } from './peer-certificate.ts';
import { certificatesToPem } from './pem.ts';
import { run, writeFiles } from './testing/command.ts';
import { daemonId, deviceId, SampleAuthority, trustDomain } from './testing/sample-authority.ts';

let sample: SampleAuthority;
let foreign: SampleAuthority;
before(async () => {
  sample = await SampleAuthority.create(systemClock.now());
  // The same trust domain and ids under another root.
  foreign = await SampleAuthority.create(systemClock.now());
});

const deviceCredential = async (from: SampleAuthority) => ({
  cert: certificatesToPem([(await from.device()).der, from.authority.issuingCertificate]),
  key: from.deviceKey.toPem(),
});

/** A daemon that answers with the SPIFFE ID of the client. */
async function listen(t: TestContext, served: string[] = []): Promise<number> {
  const daemon = await sample.daemon([], ['127.0.0.1']);
  const server = createServer(
    {
      cert: certificatesToPem([daemon.der, sample.authority.issuingCertificate]),
      key: sample.daemonKey.toPem(),
      ca: certificatesToPem(sample.authority.trustBundle()),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      const { kind, id } = readPeerCertificate(socket.getPeerCertificate().raw).spiffeId;
      served.push(id);
      response.end(`${socket.getProtocol()} ${kind} ${id}`);
    },
  );
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

interface Answer {
  readonly body: string;
  readonly daemon: string;
}

function call(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', agent: false, minVersion: 'TLSv1.3', ...options }, async (response) => {
      const peer = readPeerCertificate((response.socket as TLSSocket).getPeerCertificate().raw);
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve({ body, daemon: peer.spiffeId.id });
    }).on('error', reject);
  });
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => assert.fail('the connection was accepted'),
    (error: NodeJS.ErrnoException) => error.code,
  );

describe('mutual TLS with the issued certificates', () => {
  it('connects by trust domain, localhost and address, and each side identifies the other', async (t) => {
    const port = await listen(t);
    const ca = certificatesToPem(sample.authority.trustBundle());
    const credential = await deviceCredential(sample);
    for (const servername of [trustDomain, 'localhost', '']) {
      const answer = await call({ port, ca, ...credential, servername });
      assert.deepEqual(answer, { body: `TLSv1.3 device ${deviceId}`, daemon: daemonId });
    }
  });

  it('refuses a device of another root and a device without certificate', async (t) => {
    const served: string[] = [];
    const port = await listen(t, served);
    const server = { port, ca: certificatesToPem(sample.authority.trustBundle()), servername: trustDomain };
    // Which error the client sees depends on whether it is still writing, because in TLS 1.3 its handshake is already over.
    const refusal = /ECONNRESET|EPIPE|ALERT/;
    assert.match((await failure(call({ ...server, ...(await deviceCredential(foreign)) })))!, refusal);
    assert.match((await failure(call(server)))!, refusal);
    assert.deepEqual(served, []);
    await call({ ...server, ...(await deviceCredential(sample)) });
    assert.deepEqual(served, [deviceId]);
  });

  it('refuses a daemon of another root or name', async (t) => {
    const port = await listen(t);
    const client = { port, ...(await deviceCredential(sample)) };
    const ca = certificatesToPem(sample.authority.trustBundle());
    const foreignCa = certificatesToPem(foreign.authority.trustBundle());
    assert.equal(
      await failure(call({ ...client, ca: foreignCa, servername: trustDomain })),
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    );
    assert.equal(
      await failure(call({ ...client, ca, servername: 'other.example' })),
      'ERR_TLS_CERT_ALTNAME_INVALID',
    );
  });

  it('works with curl', async (t) => {
    const port = await listen(t);
    const files = writeFiles(t, {
      ca: certificatesToPem(sample.authority.trustBundle()),
      foreign: certificatesToPem(foreign.authority.trustBundle()),
      ...(await deviceCredential(sample)),
    });
    const curl = (ca: string, host: string) =>
      run('curl', [
        ...['--silent', '--show-error', '--noproxy', '*', '--resolve', `${host}:${port}:127.0.0.1`],
        ...[
          '--tlsv1.3',
          '--cacert',
          ca,
          '--cert',
          files.cert,
          '--key',
          files.key,
          `https://${host}:${port}/`,
        ],
      ]);
    for (const host of [trustDomain, 'localhost']) {
      assert.deepEqual(await curl(files.ca, host), { code: 0, output: `TLSv1.3 device ${deviceId}` });
    }
    const refused = await curl(files.foreign, trustDomain);
    assert.equal(refused.code, 60, refused.output);
  });

  it('works with openssl s_client, which verifies chain and name', async (t) => {
    const port = await listen(t);
    const files = writeFiles(t, {
      ca: certificatesToPem(sample.authority.trustBundle()),
      foreign: certificatesToPem(foreign.authority.trustBundle()),
      ...(await deviceCredential(sample)),
    });
    const connect = (ca: string) =>
      run('openssl', [
        ...['s_client', '-connect', `127.0.0.1:${port}`, '-servername', trustDomain, '-tls1_3', '-brief'],
        ...['-CAfile', ca, '-verify_return_error', '-verify_hostname', trustDomain, '-x509_strict'],
        ...['-cert', files.cert, '-cert_chain', files.cert, '-key', files.key],
      ]);
    const { code, output } = await connect(files.ca);
    assert.equal(code, 0, output);
    assert.match(output, /Verification: OK/);
    assert.match(output, /Protocol version: TLSv1\.3/);
    assert.notEqual((await connect(files.foreign)).code, 0);
  });
});
