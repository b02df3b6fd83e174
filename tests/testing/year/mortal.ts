// A process that may end at any step with an effect outside it: before the step, or after it and before anything
// that follows.

import type { SharedSecretStore } from '@palyra/identity';

/** Unwinds all work of the process. */
export class Crash extends Error {}

export class Mortal {
  #stepsLeft = Number.POSITIVE_INFINITY;
  #dead = false;

  get dead(): boolean {
    return this.#dead;
  }

  /** It dies at the step with this number from now, counted from 0. Even numbers are before a step, odd numbers after. */
  dieAt(step: number): void {
    this.#stepsLeft = step;
  }

  async step<T>(work: () => Promise<T>): Promise<T> {
    this.#live();
    const result = await work();
    this.#live();
    return result;
  }

  #live(): void {
    if (this.#stepsLeft <= 0) this.#dead = true;
    if (this.#dead) throw new Crash('the process ended here');
    this.#stepsLeft -= 1;
  }
}

/** The store outlives the process that uses it. */
export function mortalStore(store: SharedSecretStore, process: Mortal): SharedSecretStore {
  return {
    read: (name) => store.read(name),
    list: (prefix) => store.list(prefix),
    write: (name, secret) => process.step(() => store.write(name, secret)),
    writeNew: (name, secret) => process.step(() => store.writeNew(name, secret)),
    delete: (name) => process.step(() => store.delete(name)),
  };
}
