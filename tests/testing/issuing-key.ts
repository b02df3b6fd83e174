// A stolen CA key: makes certificates with a valid signature that the registry does not know.

import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { FilesystemSecretStore, masterKeyFromFile } from '@palyra/identity';
import { CertificateAuthority, certificatesToPem, LocalSigner, TlsKey } from '@palyra/identity/certificate';
import { type DeviceId, nodeCrypto, systemClock } from '@palyra/identity/values';
import { Authority_Tier } from '@palyra/rpc/admin';
import { x509 } from '../../packages/identity/src/certificate/testing/peculiar.ts';
import type { Credential } from './bare-tls.ts';
import { TestDaemon } from './running-daemon.ts';

export interface IssuingKey {
  readonly rootDer: Uint8Array;
  readonly issuingDer: Uint8Array;
  readonly signer: LocalSigner;
  readonly trustDomain: string;
}

/** A daemon and its secret keys, read from its home while it is stopped. */
export async function daemonWithKnownKey(t: TestContext): Promise<{ daemon: TestDaemon; key: IssuingKey }> {
  const first = await TestDaemon.start(t);
  const { trustDomain } = first.running;
  const { authorities } = await first.admin.getAuthority({});
  await first.stop();
  const folder = join(first.home, 'daemon');
  const secrets = await FilesystemSecretStore.open({
    path: join(folder, 'secrets'),
    masterKey: await masterKeyFromFile({ path: join(folder, 'master.key') }),
  });
  const issuing = authorities.find((each) => each.tier === Authority_Tier.ISSUING)!;
  const root = authorities.find((each) => each.tier === Authority_Tier.ROOT)!;
  const signer = LocalSigner.fromPkcs8(await secrets.read(`authorities/${issuing.id.toLowerCase()}`));
  await secrets.close();
  return {
    daemon: await TestDaemon.start(t, { home: first.home }),
    key: { rootDer: root.certificate, issuingDer: issuing.certificate, signer, trustDomain },
  };
}

/** A certificate exactly like the daemon's, but not issued by it. */
export async function issueUnregistered(key: IssuingKey, deviceId: DeviceId): Promise<Credential> {
  const authority = new CertificateAuthority({
    trustDomain: key.trustDomain,
    root: { der: key.rootDer },
    issuing: { der: key.issuingDer, signer: key.signer },
    clock: systemClock,
    randomBytes: nodeCrypto.randomBytes,
  });
  const tlsKey = TlsKey.generate();
  const { der } = await authority.issueDevice({ deviceId, tlsKey: tlsKey.publicKey });
  return { cert: certificatesToPem([der, key.issuingDer]), key: tlsKey.toPem() };
}

/** A client certificate with any names, which the daemon would never issue. */
export async function issueWithNames(key: IssuingKey, uris: readonly string[]): Promise<Credential> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const signingKey = await crypto.subtle.importKey(
    'pkcs8',
    Buffer.from(key.signer.toPkcs8()),
    algorithm,
    false,
    ['sign'],
  );
  const tlsKey = TlsKey.generate();
  const publicKey = await crypto.subtle.importKey('spki', Buffer.from(tlsKey.publicKey), algorithm, true, [
    'verify',
  ]);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(nodeCrypto.randomBytes(15)).toString('hex'),
    subject: 'CN=device',
    issuer: new x509.X509Certificate(Buffer.from(key.issuingDer)).subjectName,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    signingKey,
    publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: 'url', value }))),
    ],
  });
  const der = new Uint8Array(certificate.rawData);
  return { cert: certificatesToPem([der, key.issuingDer]), key: tlsKey.toPem() };
}

/**
 * An issuing CA with the names of the real one and its root, but with an untrusted signature.
 * @param days until its end; it started ten days ago.
 */
export async function forgedIssuing(like: Uint8Array, root: Uint8Array, days: number): Promise<Uint8Array> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const ours = new x509.X509Certificate(Buffer.from(like));
  const rootKeyId = new x509.X509Certificate(Buffer.from(root)).getExtension(
    x509.SubjectKeyIdentifierExtension,
  )!;
  const end = Date.now() + days * 24 * 3_600_000;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(nodeCrypto.randomBytes(15)).toString('hex'),
    subject: ours.subjectName,
    issuer: new x509.X509Certificate(Buffer.from(root)).subjectName,
    notBefore: new Date(end - 10 * 24 * 3_600_000),
    notAfter: new Date(end),
    signingAlgorithm: algorithm,
    signingKey: keys.privateKey,
    publicKey: keys.publicKey,
    extensions: ours.extensions.map((each) =>
      each.type === '2.5.29.35' ? new x509.AuthorityKeyIdentifierExtension(rootKeyId.keyId) : each,
    ),
  });
  return new Uint8Array(certificate.rawData);
}
