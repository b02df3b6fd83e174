// Limits the places that peers hold at one time: in total, and for each source.

export class Places {
  readonly #total: number;
  readonly #perSource: number;
  readonly #bySource = new Map<string, number>();
  #taken = 0;

  constructor(total: number, perSource = total) {
    this.#total = total;
    this.#perSource = perSource;
  }

  /** @returns a function that frees the place, and may be called repeatedly. Undefined if no place is free. */
  take(source: string): (() => void) | undefined {
    const ofSource = this.#bySource.get(source) ?? 0;
    if (this.#taken >= this.#total || ofSource >= this.#perSource) return undefined;
    this.#taken += 1;
    this.#bySource.set(source, ofSource + 1);
    let isBack = false;
    return () => {
      if (isBack) return;
      isBack = true;
      this.#taken -= 1;
      const left = (this.#bySource.get(source) ?? 0) - 1;
      if (left > 0) this.#bySource.set(source, left);
      else this.#bySource.delete(source);
    };
  }
}
