// Reads an enum value from a peer, or refuses it.

import { IdentityError } from '@palyra/identity/portable';
import type { WireWords } from './enum-words.ts';

/**
 * @param what the name of the value in the message, for example `A role`.
 * @throws MESSAGE_INVALID for UNSPECIFIED and for a value that this version does not know.
 */
export function knownWord<Word extends string, Value extends number>(
  what: string,
  set: WireWords<Word, Value>,
  value: Value,
): Word {
  const word = set.fromWire(value);
  if (word !== undefined) return word;
  throw new IdentityError('MESSAGE_INVALID', `${what} is one of ${set.words.join(', ')}.`);
}
