// The certificate authority: when its certificates and the daemon's own end, and whether its key signs.

import type { IdentityError } from '@palyra/identity';
import type { AuthorityRecord } from '@palyra/identity/registry';
import { Gauge, type Registry } from 'prom-client';
import { type Database, whileReachable } from './while-reachable.ts';

export interface AuthorityFacts {
  readonly authorities: () => Promise<readonly Pick<AuthorityRecord, 'tier' | 'state' | 'notAfter'>[]>;
  /** The end of the certificate that the listeners present. */
  readonly daemonCertificateEnd: () => Date;
  /** The reason why the CA's key cannot sign; undefined if it can. */
  readonly keyProblem: () => Promise<IdentityError | undefined>;
  /** The label of the PKCS #11 token that keeps the CA's keys; undefined if the secret store keeps them. */
  readonly token: string | undefined;
}

export function addAuthorityMetrics(
  registry: Registry,
  facts: AuthorityFacts,
  database: Database | undefined,
): void {
  const registers = [registry];
  new Gauge({
    name: 'palyra_authority_end_timestamp_seconds',
    help: 'When the certificate of the signing root and of the signing issuing CA ends, in seconds since 1970',
    labelNames: ['tier'],
    registers,
    collect: whileReachable(database, async (gauge) => {
      const found = await facts.authorities();
      gauge.reset();
      for (const { tier, state, notAfter } of found)
        if (state === 'active') gauge.set({ tier }, notAfter.getTime() / 1000);
    }),
  });
  new Gauge({
    name: 'palyra_daemon_certificate_end_timestamp_seconds',
    help: "When the daemon's own certificate ends, in seconds since 1970",
    registers,
    collect() {
      this.set(facts.daemonCertificateEnd().getTime() / 1000);
    },
  });
  new Gauge({
    name: 'palyra_ca_key_signs',
    help: "1 while the CA's key signs certificates, 0 while it does not: its token is missing, locked or hanging",
    registers,
    async collect() {
      this.set((await facts.keyProblem()) ? 0 : 1);
    },
  });
  const { token } = facts;
  if (token === undefined) return;
  new Gauge({
    name: 'palyra_pkcs11_token_usable',
    help: "1 while the PKCS #11 token with the CA's keys can be used; absent when there is no token",
    labelNames: ['token'],
    registers,
    async collect() {
      this.set({ token }, (await facts.keyProblem()) ? 0 : 1);
    },
  });
}
