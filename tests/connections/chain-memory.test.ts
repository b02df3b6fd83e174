// A peer that sends 100 KB of certificates leaves no memory in use. `getPeerX509Certificate()` kept 0.75 MiB for each.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { before, describe, it, type TestContext } from 'node:test';
import tls from 'node:tls';
import { certificatesToPem, LocalSigner } from '@palyra/identity/certificate';
import { keysOf } from '../../packages/identity/src/certificate/testing/mutated-chain.ts';
import { x509 } from '../../packages/identity/src/certificate/testing/peculiar.ts';
import { SampleAuthority } from '../../packages/identity/src/certificate/testing/sample-authority.ts';
import { builtProgram } from '../testing/built-program.ts';
import type { ChainListenerInput } from '../testing/chain-listener.ts';

const day = 24 * 3_600_000;
const certificates = 180;
const [warmUp, handshakes] = [30, 60];
const lanes = 4;
/** Half of that. */
const allowedBytes = 22 * 1024 * 1024;

interface Shown {
  readonly cert: string;
  readonly key: string;
}

let sample: SampleAuthority;
let old: Awaited<ReturnType<SampleAuthority['device']>>;
before(async () => {
  sample = await SampleAuthority.create(new Date(Date.now() - 3 * day));
  old = await sample.device();
  sample.now = new Date();
});

/** A chain in which each certificate is signed by the next. @param names of the first certificate, the leaf's issuer. */
async function longChain(
  length: number,
  first?: x509.Name,
  firstKeyId?: string,
): Promise<[Uint8Array[], LocalSigner]> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const [leafSigner, signer] = [LocalSigner.generate(), LocalSigner.generate()];
  const [leafKeys, keys] = [await keysOf(leafSigner), await keysOf(signer)];
  const chain: Uint8Array[] = [];
  for (let at = 0; at < length; at += 1) {
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: (0x1000 + at).toString(16),
      subject: at === 0 && first ? first : `CN=certificate ${at}`,
      issuer: `CN=certificate ${Math.min(at + 1, length - 1)}`,
      notBefore: new Date(Date.now() - 9 * day),
      // So that OpenSSL's last error is about dates, and the listener reads the chain.
      notAfter: new Date(Date.now() + (at === 0 ? -1 : 9) * day),
      publicKey: (at === 0 && !first ? leafKeys : keys).publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(at > 0 || first !== undefined, undefined, true),
        ...(at === 0 && firstKeyId ? [new x509.SubjectKeyIdentifierExtension(firstKeyId)] : []),
      ],
    });
    chain.push(new Uint8Array(certificate.rawData));
  }
  return [chain, leafSigner];
}

async function listen(t: TestContext) {
  const daemon = await sample.daemon();
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  const input: ChainListenerInput = {
    root: base64(sample.root.der),
    issuing: base64(sample.issuing.der),
    leaf: base64(daemon.der),
    key: base64(sample.daemonKey.toPkcs8()),
  };
  const script = builtProgram(join(import.meta.dirname, '../testing/chain-listener.ts'));
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--disable-warning=ExperimentalWarning', script, JSON.stringify(input)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    assert.ok(!done, 'the listener has ended');
    return JSON.parse(value);
  };
  const { port } = await next();
  return {
    port: port as number,
    memory: (): Promise<{ bytes: number; sessions: number; counts: Record<string, number> }> => {
      child.stdin.write('\n');
      return next();
    },
  };
}

/** Resolves with the client's end when the handshake is over. */
function knock(port: number, secureContext: tls.SecureContext): Promise<void> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      secureContext,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
    });
    socket.on('error', () => {});
    socket.once('close', () => resolve());
    // The listener's first bytes show that it has read the certificate.
    socket.once('data', () => socket.destroy());
  });
}

async function knockOften(port: number, { cert, key }: Shown, count: number): Promise<void> {
  const context = tls.createSecureContext({ cert, key });
  let left = count;
  const lane = async () => {
    while (left-- > 0) await knock(port, context);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function expectFlat(t: TestContext, shown: Shown, outcome: string): Promise<void> {
  const { port, memory } = await listen(t);
  await knockOften(port, shown, warmUp);
  const { bytes } = await memory();
  await knockOften(port, shown, handshakes);
  const after = await memory();
  t.diagnostic(`${handshakes} handshakes: ${Math.round((after.bytes - bytes) / 2 ** 20)} MiB more`);
  assert.equal(after.counts[outcome], warmUp + handshakes);
  assert.ok(after.bytes - bytes < allowedBytes, `from ${bytes} to ${after.bytes} bytes`);
}

describe('handshakes with 180 certificates each leave no memory behind', () => {
  it('of a stranger whose leaf has expired', async (t) => {
    const [chain, signer] = await longChain(certificates);
    await expectFlat(
      t,
      { cert: certificatesToPem(chain), key: signer.toPem() },
      'refused_foreign_certificate',
    );
  });

  it('of a device whose leaf of ours has expired, with forged issuers behind it', async (t) => {
    const issuing = new x509.X509Certificate(Buffer.from(sample.issuing.der));
    const { keyId } = issuing.getExtension(x509.SubjectKeyIdentifierExtension)!;
    const [chain] = await longChain(certificates - 1, issuing.subjectName, keyId);
    const cert = certificatesToPem([old.der, ...chain]);
    await expectFlat(t, { cert, key: sample.deviceKey.toPem() }, 'refused_foreign_certificate');
  });
});
