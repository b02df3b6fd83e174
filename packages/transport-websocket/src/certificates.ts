// Connects channels to this project's certificates: the own proof, and the verification of devices and daemons.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  checkKnownDaemon,
  type JudgePeer,
  type KnownDaemon,
  notAuthenticated,
  type OwnProof,
} from '@palyra/channel';
import { hasCode, IdentityError } from '@palyra/identity';
import { ChainJudge, TlsKey } from '@palyra/identity/certificate';
import { standingMessages } from '@palyra/identity/registry';
import type { ServerTlsConfig } from '@palyra/rpc/transport';

/** @throws CERTIFICATE_INVALID */
export function ownProof({
  certificateChain,
  privateKey,
}: Pick<ServerTlsConfig, 'certificateChain' | 'privateKey'>): OwnProof {
  const key = TlsKey.fromPkcs8(createPrivateKey(privateKey).export({ type: 'pkcs8', format: 'der' }));
  return { chain: derOf(certificateChain).slice(0, 2), sign: (data) => key.sign(data) };
}

/** Verifies that this authority issued a device's chain. The registry checks everything else, including the dates. */
export function judgeDevice(judge: ChainJudge): JudgePeer {
  return (chain) => {
    try {
      const { certificate } = judge.judge(chain);
      return spkiOf(certificate);
    } catch (cause) {
      if (!hasCode(cause, 'CERTIFICATE_INVALID')) throw cause;
      throw new IdentityError('CERTIFICATE_UNKNOWN', standingMessages.CERTIFICATE_UNKNOWN, { cause });
    }
  };
}

/** Verifies that a daemon's chain belongs to the known daemon, and then its dates. */
export function judgeDaemon(known: KnownDaemon & { readonly roots: readonly Uint8Array[] }): JudgePeer {
  const judge = new ChainJudge(known.roots);
  return (chain) => {
    const { leaf, certificate, notBefore, notAfter } = judged(judge, chain);
    checkKnownDaemon({ leaf: leaf.spiffeId, notBefore, notAfter }, known, new Date());
    return spkiOf(certificate);
  };
}

function judged(judge: ChainJudge, chain: readonly Uint8Array[]) {
  try {
    return judge.judge(chain);
  } catch (cause) {
    if (hasCode(cause, 'CERTIFICATE_INVALID'))
      throw notAuthenticated('its certificate chain is invalid', cause);
    throw cause;
  }
}

export function derOf(pem: string): Uint8Array[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((each) => new Uint8Array(new X509Certificate(each).raw));
}

const spkiOf = (certificate: X509Certificate): Uint8Array =>
  new Uint8Array(certificate.publicKey.export({ type: 'spki', format: 'der' }));
