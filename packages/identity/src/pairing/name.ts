// Names that a stranger chose and an operator will read: short, visible, and told apart by eye.

import { IdentityError } from '../errors.ts';
import { cannotHold, parseVisibleText } from '../visible-text.ts';

/** Longest name or platform, in characters as their reader sees them. */
export const MAX_NAME_LENGTH = 64;

/** They look like the ordinary space, or like nothing. */
const oddSpace = /[^\P{Zs} ]/u;

/**
 * @param what it is, for the message.
 * @throws MESSAGE_INVALID, which names the character that is refused.
 */
export function parseDeviceName(name: string, what = 'A name'): string {
  if (name.length === 0)
    throw new IdentityError('MESSAGE_INVALID', `${what} has 1 to ${MAX_NAME_LENGTH} characters.`);
  parseVisibleText(what, name, MAX_NAME_LENGTH);
  const odd = oddSpace.exec(name);
  if (odd) throw cannotHold(what, name, odd.index, 'is a space that looks like another one');
  if (name.trim() !== name || name.includes('  ')) {
    throw new IdentityError('MESSAGE_INVALID', `${what} has no spaces at its ends, and no two in a row.`);
  }
  return name;
}
