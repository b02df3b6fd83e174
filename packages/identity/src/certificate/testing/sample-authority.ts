// A complete CA in memory. Tests can use its keys and set its clock.

import { randomBytes } from 'node:crypto';
import type { DeviceId, Ulid } from '../../device-id.ts';
import { CertificateAuthority, makeIssuing, makeRoot } from '../authority.ts';
import type { IssuedCertificate } from '../issue.ts';
import { LocalSigner } from '../local-signer.ts';
import { TlsKey } from '../tls-key.ts';

export const trustDomain = 'palyra-abcdefghij.internal';
export const deviceId = '01K8ZQ4YV3M6X9T2B7C5D1E0FG' as DeviceId;
export const daemonId = '01K8ZQ4YV3AAAAAAAAAAAAAAAA' as Ulid;

export class SampleAuthority {
  /** The time of `clock`. Tests may change it. */
  now: Date;
  readonly clock = { now: () => this.now };
  readonly rootSigner = LocalSigner.generate();
  readonly issuingSigner = LocalSigner.generate();
  readonly deviceKey = TlsKey.generate();
  readonly daemonKey = TlsKey.generate();
  root!: IssuedCertificate;
  issuing!: IssuedCertificate;
  authority!: CertificateAuthority;

  private constructor(now: Date) {
    this.now = now;
  }

  static async create(now: Date): Promise<SampleAuthority> {
    const sample = new SampleAuthority(now);
    const { clock, rootSigner, issuingSigner } = sample;
    const root = await makeRoot({ trustDomain, signer: rootSigner, clock, randomBytes });
    const issuing = await makeIssuing({
      trustDomain,
      root: { der: root.der, signer: rootSigner },
      publicKey: issuingSigner.publicKey,
      clock,
      randomBytes,
    });
    return Object.assign(sample, {
      root,
      issuing,
      authority: new CertificateAuthority({
        trustDomain,
        root: { der: root.der },
        issuing: { der: issuing.der, signer: issuingSigner },
        clock,
        randomBytes,
      }),
    });
  }

  device(lifeMs?: number): Promise<IssuedCertificate> {
    const request = { deviceId, tlsKey: this.deviceKey.publicKey };
    return this.authority.issueDevice(lifeMs === undefined ? request : { ...request, lifeMs });
  }

  daemon(dnsNames: readonly string[] = [], ipAddresses: readonly string[] = []): Promise<IssuedCertificate> {
    return this.authority.issueDaemon({ daemonId, tlsKey: this.daemonKey.publicKey, dnsNames, ipAddresses });
  }
}
