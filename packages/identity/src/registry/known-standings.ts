// The standings of certificates that call again and again. What was read holds until the registry changes, so most calls
// are checked without a read, and none by a standing that a commit has overtaken.

import type { CertificateStanding, Registry } from './port.ts';

/** Standings at one time; a few hundred bytes each. */
const maxKnown = 16_384;

export class KnownStandings {
  readonly #registry: Pick<Registry, 'changes' | 'standing'>;
  readonly #known = new Map<string, CertificateStanding>();
  #changes: number | undefined;

  constructor(registry: Pick<Registry, 'changes' | 'standing'>) {
    this.#registry = registry;
  }

  /** As the registry would answer now, where that is known without a read. */
  known(fingerprint: string): CertificateStanding | undefined {
    const { changes } = this.#registry;
    if (changes !== this.#changes) this.#known.clear();
    this.#changes = changes;
    return this.#known.get(fingerprint);
  }

  /** As the registry answers now. */
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
