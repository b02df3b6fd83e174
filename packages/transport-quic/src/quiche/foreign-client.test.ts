// Tests with Debian's gtlsclient (ngtcp2 and GnuTLS), an independent QUIC client. It speaks only HTTP/3, so this server differs
// from a listener in its protocol name. Every refusal is therefore due to the certificate.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type TestContext } from 'node:test';
import { temporaryFolder } from '../../../../tests/testing/temporary-folder.ts';
import { longestWaitMs } from '../../../../tests/testing/until.ts';
import { type Credential, createPki, type Pki } from '../../../rpc/src/testing/pki.ts';
import { loadLibrary, withScratchFolder } from './library.ts';
import { serverOptions } from './listen.ts';

const client = 'gtlsclient';
const { error } = spawnSync(client, ['--help']);
const skip = error ? `NOT TESTED: ${client} is missing (Debian: ngtcp2-client)` : false;

/** Lists the sessions of the server. */
async function serve(t: TestContext, pki: Pki): Promise<{ port: number; sessions: unknown[] }> {
  const sessions: unknown[] = [];
  const options = { ...serverOptions({ tls: pki.serverTls }, 'portable'), alpn: ['h3'] };
  const server = loadLibrary().createQuicServer(options);
  t.after(() => server.close());
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
    session.close(0, 'enough');
  });
  const { port } = await withScratchFolder((written) => {
    const listening = server.listen(0, '127.0.0.1');
    written();
    return listening;
  });
  return { port, sessions };
}

/** The client's output, packet by packet. */
async function connect(pki: Pki, port: number, credential?: Credential): Promise<string> {
  const words = ['--timeout=5s'];
  if (credential) {
    const folder = temporaryFolder();
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    writeFileSync(cert, credential.certificateChain);
    writeFileSync(key, credential.privateKey, { mode: 0o600 });
    words.push(`--cert=${cert}`, `--key=${key}`);
  }
  const at = ['127.0.0.1', `${port}`, `https://${pki.trustDomain}/`];
  const child = spawn(client, [...words, ...at], { timeout: longestWaitMs });
  return (await Promise.all([text(child.stderr), text(child.stdout)])).join('');
}

test("ngtcp2's client with the certificate of a device is accepted", { skip }, async (t) => {
  const pki = await createPki();
  const { port, sessions } = await serve(t, pki);
  const said = await connect(pki, port, pki.device);
  assert.match(said, /CONNECTION_CLOSE\(0x1d\).*reason=\[enough\]/);
  assert.equal(sessions.length, 1);
});

test("ngtcp2's client without a certificate is told that one is required", { skip }, async (t) => {
  const pki = await createPki();
  const { port, sessions } = await serve(t, pki);
  const said = await connect(pki, port);
  assert.match(said, /CONNECTION_CLOSE.*client certificate required/);
  assert.doesNotMatch(said, /handshake has been confirmed/);
  assert.equal(sessions.length, 0);
});

test("ngtcp2's client with the certificate of another authority is told that the authority is unknown", {
  skip,
}, async (t) => {
  const [pki, foreign] = await Promise.all([createPki(), createPki()]);
  const { port, sessions } = await serve(t, pki);
  const said = await connect(pki, port, foreign.device);
  // RFC 9001 4.8: 0x100 and the TLS alert unknown_ca, 48.
  assert.match(said, /CONNECTION_CLOSE.*CRYPTO_ERROR\(0x130\)/);
  assert.doesNotMatch(said, /handshake has been confirmed/);
  assert.equal(sessions.length, 0);
});
