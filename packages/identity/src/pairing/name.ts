// Checks names that a stranger chose and an operator will read: they must be short, visible and easy to tell apart.

import { IdentityError } from '../errors.ts';
import { cannotContain, parseVisibleText } from '../visible-text.ts';

/** Longest name or platform, in characters as a reader sees them. */
export const MAX_NAME_LENGTH = 64;

/** Spaces that look like the ordinary space, or are invisible. */
const oddSpace = /[^\P{Zs} ]/u;

/**
 * @param what the kind of name, for the message.
 * @throws MESSAGE_INVALID, which names the refused character.
 */
export function parseDeviceName(name: string, what = 'A name'): string {
  if (name.length === 0)
    throw new IdentityError('MESSAGE_INVALID', `${what} must have 1 to ${MAX_NAME_LENGTH} characters.`);
  parseVisibleText(what, name, MAX_NAME_LENGTH);
  const odd = oddSpace.exec(name);
  if (odd) throw cannotContain(what, name, odd.index, 'is a special space, which looks like a normal one');
  if (name.trim() !== name || name.includes('  ')) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      `${what} must not begin or end with a space, or contain two spaces in a row.`,
    );
  }
  return name;
}
