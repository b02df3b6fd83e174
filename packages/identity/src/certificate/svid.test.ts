// Checks each rule of the SPIFFE X509-SVID standard on issued certificates, read by @peculiar/x509.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { x509 } from './testing/peculiar.ts';
import { SampleAuthority, trustDomain } from './testing/sample-authority.ts';

const leaves: x509.X509Certificate[] = [];
const authorities: x509.X509Certificate[] = [];
before(async () => {
  const sample = await SampleAuthority.create(new Date('2026-03-01T12:00:00Z'));
  const read = ({ der }: { der: Uint8Array }) => new x509.X509Certificate(Buffer.from(der));
  leaves.push(read(await sample.device()), read(await sample.daemon(['gate.example'], ['192.0.2.1'])));
  authorities.push(read(sample.root), read(sample.issuing));
});

const uris = (certificate: x509.X509Certificate) =>
  certificate
    .getExtension(x509.SubjectAlternativeNameExtension)!
    .names.items.filter(({ type }) => type === 'url')
    .map(({ value }) => value);
const spiffeId = (certificate: x509.X509Certificate) => new URL(uris(certificate)[0]!);
const usages = (certificate: x509.X509Certificate) => certificate.getExtension(x509.KeyUsagesExtension)!;
const constraints = (certificate: x509.X509Certificate) =>
  certificate.getExtension(x509.BasicConstraintsExtension)!;
const { digitalSignature, keyAgreement, keyCertSign, keyEncipherment, cRLSign } = x509.KeyUsageFlags;

describe('SPIFFE X509-SVID', () => {
  it('2: every SVID has exactly one URI SAN, and it is a SPIFFE ID', () => {
    for (const certificate of [...leaves, ...authorities]) {
      assert.equal(uris(certificate).length, 1);
      assert.equal(spiffeId(certificate).protocol, 'spiffe:');
      assert.equal(spiffeId(certificate).host, trustDomain);
    }
  });

  it('3.1: the SPIFFE ID of a leaf has a path that is not the root', () => {
    for (const leaf of leaves) assert.match(spiffeId(leaf).pathname, /^\/(device|daemon)\/[0-9A-Z]{26}$/);
  });

  it('3.1: the SAN need not be critical, because there is a subject', () => {
    for (const leaf of leaves) assert.notEqual(leaf.subject, '');
  });

  it('3.2: the SPIFFE ID of a signing certificate has no path', () => {
    for (const authority of authorities) assert.equal(uris(authority)[0], `spiffe://${trustDomain}`);
  });

  it('3.2: the SPIFFE ID of a signing certificate is in the trust domain of its leaves', () => {
    for (const authority of authorities) assert.equal(spiffeId(authority).host, spiffeId(leaves[0]!).host);
  });

  it('4.1: a leaf has cA false', () => {
    for (const leaf of leaves) assert.equal(constraints(leaf).ca, false);
  });

  it('4.1: a signing certificate has cA true', () => {
    for (const authority of authorities) assert.equal(constraints(authority).ca, true);
  });

  it('4.3: key usage is set on every SVID and critical', () => {
    for (const certificate of [...leaves, ...authorities]) assert.equal(usages(certificate).critical, true);
  });

  it('4.3: a leaf has digitalSignature', () => {
    for (const leaf of leaves) assert.ok(usages(leaf).usages & digitalSignature);
  });

  it('4.3: a leaf has neither keyCertSign nor cRLSign', () => {
    for (const leaf of leaves) assert.equal(usages(leaf).usages & (keyCertSign | cRLSign), 0);
  });

  it('4.3: a signing certificate has keyCertSign', () => {
    for (const authority of authorities) assert.ok(usages(authority).usages & keyCertSign);
  });

  it('4.4: a leaf has extended key usage with serverAuth and clientAuth', () => {
    for (const leaf of leaves) {
      const { usages } = leaf.getExtension(x509.ExtendedKeyUsageExtension)!;
      assert.deepEqual([...usages], [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]);
    }
  });

  it('A: a signing certificate has no digitalSignature, keyAgreement or keyEncipherment', () => {
    for (const authority of authorities) {
      assert.equal(usages(authority).usages & (digitalSignature | keyAgreement | keyEncipherment), 0);
    }
  });
});
