// Chains of a leaf and its issuing CA that differ from ours in one detail, made by a foreign encoder with the CA's own
// keys. So the signatures are valid, unless the signature is the difference.

import { generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';
import type { P256Key } from '../tls-key.ts';
import { x509 } from './peculiar.ts';
import type { SampleAuthority } from './sample-authority.ts';

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
type Keys = { readonly publicKey: CryptoKey; readonly privateKey: CryptoKey };
type Algorithm = Parameters<typeof webcrypto.subtle.importKey>[2];

export interface Life {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** How one certificate differs from ours. Absent fields are as in ours. */
export interface Difference {
  readonly life?: Life;
  /** Returns the extensions to use instead of ours. */
  readonly extensions?: (ours: readonly x509.Extension[]) => readonly x509.Extension[];
  readonly subject?: string;
  readonly issuer?: string;
  readonly serial?: string;
  readonly hash?: 'SHA-384' | 'SHA-512';
  /** The subject's key. */
  readonly keys?: Keys;
  /** Another issuer's key. */
  readonly signedBy?: Keys;
}

export interface ChainDifference {
  readonly leaf?: Difference;
  readonly issuing?: Difference;
}

export async function keysOf(key: P256Key): Promise<Keys> {
  const subtle = webcrypto.subtle;
  return {
    privateKey: await subtle.importKey('pkcs8', Buffer.from(key.toPkcs8()), p256, false, ['sign']),
    publicKey: await subtle.importKey('spki', Buffer.from(key.publicKey), p256, true, ['verify']),
  };
}

export async function otherKeys(kind: 'P-256' | 'P-384' | 'RSA' | 'Ed25519'): Promise<Keys> {
  const algorithm: Algorithm =
    kind === 'RSA'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : kind === 'Ed25519'
        ? { name: 'Ed25519' }
        : { ...p256, namedCurve: kind };
  const { publicKey, privateKey } =
    kind === 'RSA'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : kind === 'Ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: kind });
  const subtle = webcrypto.subtle;
  return {
    privateKey: await subtle.importKey(
      'pkcs8',
      privateKey.export({ type: 'pkcs8', format: 'der' }),
      algorithm,
      false,
      ['sign'],
    ),
    publicKey: await subtle.importKey(
      'spki',
      publicKey.export({ type: 'spki', format: 'der' }),
      algorithm,
      true,
      ['verify'],
    ),
  };
}

/** Makes chains of one sample authority. Without a difference they equal ours in every byte before the signature. */
export class ChainMaker {
  readonly #sample: SampleAuthority;
  readonly #kind: 'device' | 'daemon';
  readonly #root: Keys;
  readonly #issuing: Keys;
  readonly #leaf: Keys;

  private constructor(sample: SampleAuthority, kind: 'device' | 'daemon', keys: readonly [Keys, Keys, Keys]) {
    this.#sample = sample;
    this.#kind = kind;
    [this.#root, this.#issuing, this.#leaf] = keys;
  }

  static async create(sample: SampleAuthority, kind: 'device' | 'daemon'): Promise<ChainMaker> {
    const leafKey = kind === 'device' ? sample.deviceKey : sample.daemonKey;
    const keys = [sample.rootSigner, sample.issuingSigner, leafKey] as const;
    const [root, issuing, leaf] = await Promise.all(keys.map(keysOf));
    return new ChainMaker(sample, kind, [root!, issuing!, leaf!]);
  }

  /** Leaf, issuing CA; DER. */
  async make({ leaf = {}, issuing = {} }: ChainDifference): Promise<[Uint8Array, Uint8Array]> {
    const root = new x509.X509Certificate(Buffer.from(this.#sample.root.der));
    const ours = new x509.X509Certificate(Buffer.from(this.#sample.issuing.der));
    const ca = await sign(ours, issuing, {
      subject: ours.subjectName,
      issuer: root.subjectName,
      subjectKeys: this.#issuing,
      issuerKeys: this.#root,
    });
    const template =
      this.#kind === 'device'
        ? await this.#sample.device()
        : await this.#sample.daemon(['gate.example'], ['192.0.2.1']);
    const leafLike = new x509.X509Certificate(Buffer.from(template.der));
    const end = await sign(leafLike, leaf, {
      subject: leafLike.subjectName,
      issuer: ours.subjectName,
      subjectKeys: this.#leaf,
      issuerKeys: this.#issuing,
    });
    return [end, ca];
  }
}

async function sign(
  like: x509.X509Certificate,
  difference: Difference,
  ours: {
    readonly subject: x509.Name;
    readonly issuer: x509.Name;
    readonly subjectKeys: Keys;
    readonly issuerKeys: Keys;
  },
): Promise<Uint8Array> {
  const { life = like, extensions = (same) => same } = difference;
  const signingKey = (difference.signedBy ?? ours.issuerKeys).privateKey;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: difference.serial ?? like.serialNumber,
    subject: difference.subject ?? ours.subject,
    issuer: difference.issuer ?? ours.issuer,
    notBefore: life.notBefore,
    notAfter: life.notAfter,
    publicKey: (difference.keys ?? ours.subjectKeys).publicKey,
    signingKey,
    signingAlgorithm: { ...signingKey.algorithm, hash: difference.hash ?? 'SHA-256' },
    extensions: [...extensions(like.extensions)],
  });
  return new Uint8Array(certificate.rawData);
}

const replace =
  (type: string, ...by: x509.Extension[]) =>
  (ours: readonly x509.Extension[]) =>
    ours.flatMap((each) => (each.type === type ? by : [each]));
const add =
  (...more: x509.Extension[]) =>
  (ours: readonly x509.Extension[]) => [...ours, ...more];
const unknown = (critical: boolean) =>
  new x509.Extension('1.3.6.1.4.1.55555.1', critical, Buffer.from('0500', 'hex'));
const usage = (flags: number, critical = true) => new x509.KeyUsagesExtension(flags, critical);
const uri = (value: string) => new x509.SubjectAlternativeNameExtension([{ type: 'url', value }]);

const [basicConstraints, keyUsage, extendedKeyUsage] = ['2.5.29.19', '2.5.29.15', '2.5.29.37'] as const;
const [subjectKeyId, authorityKeyId, alternativeName] = ['2.5.29.14', '2.5.29.35', '2.5.29.17'] as const;
const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;

/** Faults of either certificate. */
const ofBoth: Readonly<Record<string, Difference>> = {
  'an unknown critical extension': { extensions: add(unknown(true)) },
  'an unknown extension': { extensions: add(unknown(false)) },
  'critical name constraints': {
    extensions: add(new x509.Extension('2.5.29.30', true, Buffer.from('3000', 'hex'))),
  },
  'a required policy': {
    extensions: add(new x509.Extension('2.5.29.36', true, Buffer.from('3003800100', 'hex'))),
  },
  'no basic constraints': { extensions: replace(basicConstraints) },
  'no key usage': { extensions: replace(keyUsage) },
  'no subject key identifier': { extensions: replace(subjectKeyId) },
  'no authority key identifier': { extensions: replace(authorityKeyId) },
  'another authority key identifier': {
    extensions: replace(authorityKeyId, new x509.AuthorityKeyIdentifierExtension('ab'.repeat(20))),
  },
  'no names': { extensions: replace(alternativeName) },
  'another trust domain': {
    extensions: replace(alternativeName, uri('spiffe://palyra-zzzzzzzzzz.internal')),
  },
  'no extensions': { extensions: () => [] },
  'extensions in another order': { extensions: (ours) => ours.toReversed() },
  'an extension twice': { extensions: (ours) => [...ours, ours[0]!] },
  'another issuer': { issuer: 'CN=Palyra issuing CA 00000000' },
  'another subject': { subject: 'CN=Palyra issuing CA 00000000' },
  'a serial number of 1': { serial: '01' },
  'SHA-384': { hash: 'SHA-384' },
};

const leafOnly: Readonly<Record<string, Difference>> = {
  'CA:TRUE': {
    extensions: replace(basicConstraints, new x509.BasicConstraintsExtension(true, undefined, true)),
  },
  keyCertSign: { extensions: replace(keyUsage, usage(digitalSignature | keyCertSign)) },
  'no digitalSignature': { extensions: replace(keyUsage, usage(cRLSign)) },
  'a key usage that is not critical': { extensions: replace(keyUsage, usage(digitalSignature, false)) },
  'no extended key usage': { extensions: replace(extendedKeyUsage) },
  'extended key usage for code signing': {
    extensions: replace(extendedKeyUsage, new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.3'])),
  },
  'extended key usage for servers alone': {
    extensions: replace(extendedKeyUsage, new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1'])),
  },
  'extended key usage for clients alone': {
    extensions: replace(extendedKeyUsage, new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2'])),
  },
};

const issuingOnly: Readonly<Record<string, Difference>> = {
  'CA:FALSE': {
    extensions: replace(basicConstraints, new x509.BasicConstraintsExtension(false, undefined, true)),
  },
  'no path length': {
    extensions: replace(basicConstraints, new x509.BasicConstraintsExtension(true, undefined, true)),
  },
  'a path length of 3': {
    extensions: replace(basicConstraints, new x509.BasicConstraintsExtension(true, 3, true)),
  },
  'no keyCertSign': { extensions: replace(keyUsage, usage(cRLSign)) },
  digitalSignature: { extensions: replace(keyUsage, usage(digitalSignature)) },
  'extended key usage for code signing': {
    extensions: add(new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.3'])),
  },
};

/** Every difference, by name, in each certificate, and combined differences with each kind of key. */
export async function differences(): Promise<[string, ChainDifference][]> {
  const all: [string, ChainDifference][] = [];
  for (const [what, each] of Object.entries({ ...ofBoth, ...leafOnly }))
    all.push([`a leaf with ${what}`, { leaf: each }]);
  for (const [what, each] of Object.entries({ ...ofBoth, ...issuingOnly }))
    all.push([`an issuing CA with ${what}`, { issuing: each }]);
  for (const kind of ['P-256', 'P-384', 'RSA', 'Ed25519'] as const) {
    const keys = await otherKeys(kind);
    all.push([`a leaf that another ${kind} key signed`, { leaf: { signedBy: keys } }]);
    all.push([`an issuing CA that another ${kind} key signed`, { issuing: { signedBy: keys } }]);
    all.push([
      `a forged issuing CA with a ${kind} key`,
      { issuing: { keys, signedBy: keys }, leaf: { signedBy: keys } },
    ]);
    if (kind !== 'P-256') all.push([`a leaf with a ${kind} key`, { leaf: { keys } }]);
  }
  return all;
}

/** The same certificate with one bit flipped. */
export function flipBit(der: Uint8Array, bit = randomBytes(4).readUInt32BE() % (der.length * 8)): Uint8Array {
  const flipped = Uint8Array.from(der);
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
