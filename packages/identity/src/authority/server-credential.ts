// The credential of the daemon's listeners: a certificate of its own CA, for a key that exists only in memory.

import { TlsKey } from '../certificate/tls-key.ts';
import type { Clock } from '../clock.ts';
import { addCertificate } from '../fleet/change.ts';
import type { HostNames } from '../fleet/host-names.ts';
import type { Registry } from '../registry/port.ts';
import type { PresentAuthority } from './present-authority.ts';

/** The credential of a TLS server. The key exists only in memory: every start makes a new one. */
export interface ServerCredential {
  readonly key: TlsKey;
  /** Leaf, then issuing CA; DER. */
  readonly certificateChain: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface ServerNames {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

export interface ServerCredentialOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly authority: PresentAuthority;
  readonly hostNames: HostNames;
}

/** Makes a key and a daemon certificate for the listeners. */
export async function issueServerCredential(
  { registry, clock, authority, hostNames }: ServerCredentialOptions,
  names: ServerNames,
): Promise<ServerCredential> {
  const { ca, issuerId } = authority.signing;
  const { daemonId } = authority;
  hostNames.reserve(names.dnsNames);
  const key = TlsKey.generate();
  const issued = await ca.issueDaemon({ daemonId, tlsKey: key.publicKey, ...names });
  const now = clock.now();
  const certificate = {
    ...issued,
    subject: { kind: 'daemon', id: daemonId },
    issuerId,
    createdAt: now,
    recovered: false,
    renewAt: undefined,
  } as const;
  await registry.transact((tx) => addCertificate(tx, certificate, { type: 'listeners' }, now));
  const certificateChain = [issued.der, ca.issuingCertificate];
  return { key, certificateChain, notBefore: issued.notBefore, notAfter: issued.notAfter };
}
