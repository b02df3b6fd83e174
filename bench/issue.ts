// issue.*: the cost of a device certificate compared with its one signature, and with an existing library.

import 'reflect-metadata';
import { generateKeyPairSync, randomBytes, sign, webcrypto } from 'node:crypto';
import {
  CertificateAuthority,
  deviceSpiffeId,
  LocalSigner,
  makeIssuing,
  makeRoot,
  TlsKey,
} from '@palyra/identity/certificate';
import { makeUlid, systemClock } from '@palyra/identity/values';
import * as x509 from '@peculiar/x509';
import { type Figures, interleave, median, type Progress, ratio } from './measure.ts';

const trustDomain = 'palyra-benchmark0.internal';
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 3600 * 1000;
const microseconds = (ms: readonly number[]) => median(ms) * 1000;

export async function issue(progress: Progress): Promise<Figures> {
  const authority = await newAuthority();
  const deviceId = makeUlid(new Date(), randomBytes(10));
  const tlsKey = TlsKey.generate().publicKey;
  const certificate = await authority.issueDevice({ deviceId, tlsKey });
  // A certificate is the signed part, the signature (about 72 bytes) and 20 bytes around them.
  const message = randomBytes(certificate.der.length - 92);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  progress('a device certificate against one raw signature');
  const own = await interleave(
    {
      certificate: () => authority.issueDevice({ deviceId, tlsKey }),
      signature: () => sign('sha256', message, privateKey),
    },
    { rounds: 400, warmUp: 100, calls: 20 },
  );
  progress('the same certificate by @peculiar/x509');
  const peculiar = await peculiarIssuer(authority, tlsKey, deviceSpiffeId(trustDomain, deviceId));
  const other = await interleave(
    { peculiar, certificate: () => authority.issueDevice({ deviceId, tlsKey }) },
    { rounds: 200, warmUp: 50, calls: 2 },
  );

  return {
    'issue.ratio_to_signature': {
      ...ratio(own.certificate, own.signature),
      target: { atMost: 3 },
      unit: 'ratio',
      meaning: 'One device certificate, its key checked, over one raw P-256 signature of as many bytes.',
      parts: { certificate_us: microseconds(own.certificate), signature_us: microseconds(own.signature) },
    },
    'issue.speedup_over_peculiar': {
      ...ratio(other.peculiar, other.certificate),
      target: { atLeast: 15 },
      unit: 'ratio',
      meaning: 'The same certificate made by @peculiar/x509 on WebCrypto, over one by our own encoder.',
      parts: { peculiar_us: microseconds(other.peculiar), certificate_us: microseconds(other.certificate) },
    },
  };
}

async function newAuthority(): Promise<CertificateAuthority> {
  const surroundings = { trustDomain, clock: systemClock, randomBytes: (size: number) => randomBytes(size) };
  const rootSigner = LocalSigner.generate();
  const signer = LocalSigner.generate();
  const root = await makeRoot({ ...surroundings, signer: rootSigner });
  const issuing = await makeIssuing({
    ...surroundings,
    root: { der: root.der, signer: rootSigner },
    publicKey: signer.publicKey,
  });
  return new CertificateAuthority({ ...surroundings, root, issuing: { der: issuing.der, signer } });
}

/** Makes the DER of an equal certificate, with the same fields and extensions, from the same SPKI bytes. */
async function peculiarIssuer(
  authority: CertificateAuthority,
  tlsKey: Uint8Array,
  spiffeId: string,
): Promise<() => Promise<ArrayBuffer>> {
  x509.cryptoProvider.set(webcrypto as never);
  const { subtle } = webcrypto;
  const { privateKey } = await subtle.generateKey(ecdsa, false, ['sign', 'verify']);
  const issuing = new x509.X509Certificate(authority.issuingCertificate as Uint8Array<ArrayBuffer>);
  const fixed = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    await x509.AuthorityKeyIdentifierExtension.create(issuing.publicKey),
  ];
  return async () => {
    const publicKey = await subtle.importKey('spki', tlsKey as Uint8Array<ArrayBuffer>, ecdsa, true, []);
    const now = Date.now();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: randomBytes(16).toString('hex'),
      issuer: issuing.subject,
      subject: 'CN=device',
      notBefore: new Date(now - 60_000),
      notAfter: new Date(now + dayMs),
      signingAlgorithm: ecdsa,
      publicKey,
      signingKey: privateKey,
      extensions: [
        ...fixed,
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId }]),
      ],
    });
    return certificate.rawData;
  };
}
