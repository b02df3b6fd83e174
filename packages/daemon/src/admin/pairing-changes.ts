// The pairings as a stream of the admin service tells them: those that are open, oldest first, then each that changes.

import { IdentityError, type IdentityManager } from '@palyra/identity';
import type { Pairing } from '@palyra/identity/registry';

const maxOpen = 1000;
/** Audit rows and changes that may wait for a slow reader. */
export const maxWaiting = 2_000;

export class PairingChanges {
  readonly #identity: IdentityManager;
  readonly #changed: Pairing[] = [];
  readonly #unsubscribe: () => void;

  /** @param onChange told of each. */
  constructor(identity: IdentityManager, onChange: () => void) {
    this.#identity = identity;
    this.#unsubscribe = identity.registry.subscribe((event) => {
      // One more than may wait says that they were too many, and a reader that never comes back keeps no more.
      if (event.type !== 'pairing_changed' || this.#changed.length > maxWaiting) return;
      this.#changed.push(event.pairing);
      onChange();
    });
  }

  /** A change from now on is told once more rather than not at all. */
  async open(): Promise<Pairing[]> {
    return (await this.#identity.desk.open(maxOpen)).reverse();
  }

  get waiting(): number {
    return this.#changed.length;
  }

  /** What changed since the last call. @throws UNREACHABLE when it was more than may wait. */
  take(): Pairing[] {
    if (this.#changed.length > maxWaiting) throw tooSlow();
    return this.#changed.splice(0);
  }

  close(): void {
    this.#unsubscribe();
  }
}

export function tooSlow(): IdentityError {
  return new IdentityError('UNREACHABLE', 'More happened than this reader took. Watch again.');
}
