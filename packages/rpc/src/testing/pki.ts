// A certificate authority with a daemon and devices, for tests.

import { randomBytes } from 'node:crypto';
import {
  CertificateAuthority,
  certificatesToPem,
  LocalSigner,
  makeIssuing,
  makeRoot,
  TlsKey,
} from '@palyra/identity/certificate';
import { makeUlid } from '@palyra/identity/values';
import type { ClientTlsConfig, ServerTlsConfig } from '../streams/contract.ts';

export interface Credential {
  readonly certificateChain: string;
  readonly privateKey: string;
  /** The leaf. */
  readonly der: Uint8Array;
}

export interface Pki {
  readonly trustDomain: string;
  readonly rootPem: string;
  readonly daemon: Credential;
  readonly device: Credential;
  readonly serverTls: ServerTlsConfig;
  readonly clientTls: ClientTlsConfig;
  /** Another device; `lifeMs` counts from `now`. */
  issueDevice(lifeMs?: number): Promise<Credential>;
}

/** @param now the time at which everything is issued. */
export async function createPki(trustDomain = 'palyra-test.internal', now = new Date()): Promise<Pki> {
  const surroundings = { clock: { now: () => now }, randomBytes: (size: number) => randomBytes(size) };
  const rootSigner = LocalSigner.generate();
  const root = await makeRoot({ ...surroundings, trustDomain, signer: rootSigner });
  const issuingSigner = LocalSigner.generate();
  const issuing = await makeIssuing({
    ...surroundings,
    trustDomain,
    root: { der: root.der, signer: rootSigner },
    publicKey: issuingSigner.publicKey,
  });
  const authority = new CertificateAuthority({
    ...surroundings,
    trustDomain,
    root: { der: root.der },
    issuing: { der: issuing.der, signer: issuingSigner },
  });
  const credential = async (
    issue: (id: ReturnType<typeof makeUlid>, tlsKey: Uint8Array) => Promise<{ readonly der: Uint8Array }>,
  ): Promise<Credential> => {
    const key = TlsKey.generate();
    const { der } = await issue(makeUlid(now, randomBytes(10)), key.publicKey);
    return { der, certificateChain: certificatesToPem([der, issuing.der]), privateKey: key.toPem() };
  };
  const issueDevice = (lifeMs?: number) =>
    credential((deviceId, tlsKey) =>
      authority.issueDevice({ deviceId, tlsKey, ...(lifeMs === undefined ? {} : { lifeMs }) }),
    );

  const rootPem = certificatesToPem([root.der]);
  const daemon = await credential((daemonId, tlsKey) =>
    authority.issueDaemon({ daemonId, tlsKey, dnsNames: [], ipAddresses: [] }),
  );
  const device = await issueDevice();
  return {
    trustDomain,
    rootPem,
    daemon,
    device,
    serverTls: { ...daemon, clientRoots: rootPem },
    clientTls: { ...device, pinnedRoot: rootPem, trustDomain },
    issueDevice,
  };
}
