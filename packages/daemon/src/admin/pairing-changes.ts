// The pairings in a stream of the admin service: the open ones, oldest first, then each change.

import { IdentityError, type IdentityManager } from '@palyra/identity';
import type { Pairing } from '@palyra/identity/registry';

const maxOpen = 1000;
/** Most audit rows and changes that wait for a slow reader. */
export const maxWaiting = 2_000;

export class PairingChanges {
  readonly #identity: IdentityManager;
  readonly #changed: Pairing[] = [];
  readonly #unsubscribe: () => void;

  /** @param onChange called for each change. */
  constructor(identity: IdentityManager, onChange: () => void) {
    this.#identity = identity;
    this.#unsubscribe = identity.registry.subscribe((event) => {
      // Keeps one more than allowed, to detect the overflow. A reader that never returns keeps no more.
      if (event.type !== 'pairing_changed' || this.#changed.length > maxWaiting) return;
      this.#changed.push(event.pairing);
      onChange();
    });
  }

  /** A change during the start may be reported twice, but never missed. */
  async open(): Promise<Pairing[]> {
    return (await this.#identity.desk.open(maxOpen)).reverse();
  }

  get waiting(): number {
    return this.#changed.length;
  }

  /** The changes since the last call. @throws UNREACHABLE if there were too many. */
  take(): Pairing[] {
    if (this.#changed.length > maxWaiting) throw tooSlow();
    return this.#changed.splice(0);
  }

  close(): void {
    this.#unsubscribe();
  }
}

export function tooSlow(): IdentityError {
  return new IdentityError('UNREACHABLE', 'This reader was too slow for the changes. Watch again.');
}
