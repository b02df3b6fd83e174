// The present CA of the daemon. It changes with the clock and with every step of a root rotation, so callers ask for it
// each time, and `reload` loads it again.

import { isDeepStrictEqual } from 'node:util';
import type { CertificateAuthority } from '../certificate/authority.ts';
import { ChainJudge } from '../certificate/chain-verdict.ts';
import type { Ulid } from '../device-id.ts';
import type { IdentityError } from '../errors.ts';
import { type LoadedAuthority, openAuthority } from './authority-store.ts';
import { loadIssuing, overdue } from './issuing.ts';
import type { AuthorityStoreOptions } from './new-authority.ts';

export class PresentAuthority {
  readonly #options: AuthorityStoreOptions;
  #loaded: LoadedAuthority;
  #chainJudge: ChainJudge;
  #reloading: Promise<void> = Promise.resolve();

  /** @throws as `openAuthority` */
  static async open(options: AuthorityStoreOptions): Promise<PresentAuthority> {
    return new PresentAuthority(options, await openAuthority(options));
  }

  private constructor(options: AuthorityStoreOptions, loaded: LoadedAuthority) {
    this.#options = options;
    this.#loaded = loaded;
    this.#chainJudge = new ChainJudge(loaded.trustBundle, loaded.issuers);
  }

  get daemonId(): Ulid {
    return this.#loaded.daemonId;
  }

  get trustDomain(): string {
    return this.#loaded.trustDomain;
  }

  /** SHA-256 of the root certificate, lower-case hex. */
  get rootFingerprint(): string {
    return this.#loaded.ca.rootFingerprint;
  }

  /** The signing CA and its id in the registry, read together, because another CA may replace it at any time. */
  get signing(): { readonly ca: CertificateAuthority; readonly issuerId: Ulid } {
    return this.#loaded;
  }

  /** The roots for peers' chains, DER. */
  get trustBundle(): readonly Uint8Array[] {
    return this.#loaded.trustBundle;
  }

  /** Judges chains by the present roots and issuing CAs. */
  get chainJudge(): ChainJudge {
    return this.#chainJudge;
  }

  /** Checks that the key of the issuing CA can sign now. @throws the reason why it cannot. */
  checkKey(): Promise<void> {
    return this.#options.keys.check(this.#loaded.issuerId);
  }

  /** The reason why issuing may soon stop; undefined if the issuing CA is young enough. */
  problem(): IdentityError | undefined {
    return overdue(this.#loaded.issuerLife, this.#options.clock.now());
  }

  /** What `RegistryReads.authorityStates` said when this was loaded. A change that depends on it compares. */
  get states(): string {
    return this.#loaded.states;
  }

  /** Loads changes of the authorities if there are any: another daemon may have made them. */
  async refresh(): Promise<void> {
    if ((await this.#options.registry.authorityStates()) !== this.states) await this.reload();
  }

  /** Loads changes of the authorities, and makes an issuing CA if one is due. */
  reload(): Promise<void> {
    // Reloads run one after the other, so that an older state cannot replace a newer one.
    const reloaded = this.#reloading.then(async () => {
      const changed = await loadIssuing(this.#options, this.trustDomain);
      const before = this.#loaded;
      this.#loaded = { ...before, ...changed };
      if (!isDeepStrictEqual([before.trustBundle, before.issuers], [changed.trustBundle, changed.issuers]))
        this.#chainJudge = new ChainJudge(changed.trustBundle, changed.issuers);
    });
    // The caller gets the error. The next call only waits.
    this.#reloading = reloaded.catch(() => {});
    return reloaded;
  }
}
