// Records a guess at a code, and checks first whether its request could be accepted.

import { keySha256 } from '../certificate/issue.ts';
import type { Clock } from '../clock.ts';
import { IdentityError } from '../errors.ts';
import type { PairingLimits } from '../limits.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { movePairing } from './change.ts';
import type { DeviceHello } from './hello.ts';
import { isDue } from './state.ts';

export interface GuessOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly limits: Pick<PairingLimits, 'pendingRequests'>;
}

/**
 * A guess at a real code writes a row. A guess at a missing code costs the same durable write, of a counter.
 * @returns the guesses left after this one; undefined if the code could not take a guess.
 * @throws KEY_IN_USE, TOO_MANY_REQUESTS; then no guess was taken.
 */
export async function takeGuess(
  { registry, clock, limits }: GuessOptions,
  pairingId: string | undefined,
  hello: DeviceHello,
): Promise<number | undefined> {
  const now = clock.now();
  return registry.transact(async (tx) => {
    await mustBeTakeable(tx, hello, limits);
    const pairing = pairingId === undefined ? undefined : await tx.pairing(pairingId);
    if (pairing?.state !== 'waiting' || pairing.guessesLeft === 0 || isDue(pairing, now)) {
      const count = Number((await tx.setting('guesses_without_code')) ?? '0');
      await tx.putSetting('guesses_without_code', String(count + 1));
      return undefined;
    }
    const next = await movePairing(tx, pairing, { type: 'guess' }, now);
    await tx.appendAudit({
      at: now,
      action: 'code.guessed',
      subject: pairing.id,
      detail: { left: next.guessesLeft },
    });
    return next.guessesLeft;
  });
}

/** @throws KEY_IN_USE, TOO_MANY_REQUESTS */
export async function mustBeTakeable(
  tx: RegistryTransaction,
  hello: DeviceHello,
  limits: GuessOptions['limits'],
): Promise<void> {
  const key = await tx.keyInUse({ ...hello, tlsKeySha256: keySha256(hello.tlsKey) });
  if (key !== undefined) throw keyInUse(key);
  const { pendingRequests } = await tx.counts();
  if (pendingRequests >= limits.pendingRequests) throw tooManyRequests();
}

function keyInUse(key: 'identity' | 'tls'): IdentityError {
  return new IdentityError(
    'KEY_IN_USE',
    key === 'identity'
      ? 'Another device has this identity key.'
      : 'This TLS key was used before. A pairing needs a new key.',
    key === 'identity' ? { about: 'identity_key' } : {},
  );
}

function tooManyRequests(): IdentityError {
  return new IdentityError(
    'TOO_MANY_REQUESTS',
    'Too many requests are waiting for the operator. After some are decided, pair again with the same code.',
    { retryAfterMs: 60_000 },
  );
}
