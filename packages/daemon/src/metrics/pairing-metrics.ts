// Guesses at pairing codes, and how the codes ended.

import type { RegistryEvent } from '@palyra/identity/registry';
import { Counter, type Registry } from 'prom-client';

const ends = ['used', 'exhausted', 'expired', 'withdrawn'] as const;

export class PairingMetrics {
  readonly #guesses: Counter;
  readonly #wrong: Counter;
  readonly #ended: Counter;
  /** Guesses at the codes that wait, by pairing. The limit of codes bounds it. */
  readonly #waiting = new Map<string, number>();

  constructor(registry: Registry, { rateLimited }: { readonly rateLimited: () => number }) {
    const registers = [registry];
    this.#guesses = new Counter({
      name: 'palyra_pairing_guesses_total',
      help: 'Guesses at waiting codes since the start, right and wrong',
      registers,
    });
    this.#wrong = new Counter({
      name: 'palyra_pairing_wrong_guesses_total',
      help: 'Wrong guesses at codes that have ended since the start',
      registers,
    });
    this.#ended = new Counter({
      name: 'palyra_pairing_codes_ended_total',
      help: 'Codes that ended since the start: used by a device, or exhausted, expired or withdrawn',
      labelNames: ['how'],
      registers,
    });
    for (const how of ends) this.#ended.inc({ how }, 0);
    new Counter({
      name: 'palyra_pairing_rate_limited_total',
      help: 'Pairing attempts refused by the rate limit since the start',
      registers,
      collect() {
        this.reset();
        this.inc(rateLimited());
      },
    });
  }

  take(event: RegistryEvent): void {
    if (event.type !== 'pairing_changed') return;
    const { pairing } = event;
    const { id, guessesTaken } = pairing;
    const known = this.#waiting.get(id);
    if (pairing.state === 'waiting') {
      if (guessesTaken > (known ?? 0)) this.#guesses.inc();
      this.#waiting.set(id, guessesTaken);
      return;
    }
    // A change after the end of its code, or of a code from before this start that was never guessed at since.
    if (known === undefined) return;
    this.#waiting.delete(id);
    const isUsed = 'request' in pairing && pairing.request !== undefined;
    this.#wrong.inc(Math.max(0, guessesTaken - (isUsed ? 1 : 0)));
    this.#ended.inc({ how: isUsed ? 'used' : endOf(pairing.state) });
  }
}

function endOf(state: string): (typeof ends)[number] {
  return state === 'exhausted' || state === 'expired' ? state : 'withdrawn';
}
