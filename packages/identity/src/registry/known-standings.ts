// Remembers the standings of certificates that call repeatedly. A standing is valid until the registry changes, so most
// calls are checked without a read, and none by an outdated standing. Whoever asks brings the registry up to date first.

import type { CertificateStanding, Registry } from './port.ts';

/** Most remembered standings; a few hundred bytes each. */
const maxKnown = 16_384;

export class KnownStandings {
  readonly #registry: Pick<Registry, 'changes' | 'standing'>;
  readonly #known = new Map<string, CertificateStanding>();
  #changes: number | undefined;

  constructor(registry: Pick<Registry, 'changes' | 'standing'>) {
    this.#registry = registry;
  }

  /** The present standing, if it is known without a read. */
  known(fingerprint: string): CertificateStanding | undefined {
    const { changes } = this.#registry;
    if (changes !== this.#changes) this.#known.clear();
    this.#changes = changes;
    return this.#known.get(fingerprint);
  }

  /** Reads the present standing. */
  async read(fingerprint: string): Promise<CertificateStanding | undefined> {
    const { changes } = this.#registry;
    const read = await this.#registry.standing(fingerprint);
    if (read && this.#registry.changes === changes && this.#changes === changes)
      this.#keep(fingerprint, read);
    return read;
  }

  #keep(fingerprint: string, standing: CertificateStanding): void {
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.set(fingerprint, standing);
  }
}
