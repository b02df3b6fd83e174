// Tries the endpoints of a daemon in order, and connects to the first one at which this daemon answers.

import { hasCode, IdentityError } from '@palyra/identity/portable';

/**
 * Tries the next endpoint when nothing answers, or another server answers. Any answer of the daemon itself is final.
 * @throws the error of a single endpoint. With several endpoints: DAEMON_NOT_AUTHENTICATED if every endpoint threw that code,
 *   otherwise UNREACHABLE.
 */
export async function inOrder<T>(
  endpoints: readonly string[],
  dial: (endpoint: string) => Promise<T>,
): Promise<T> {
  const errors: IdentityError[] = [];
  for (const endpoint of endpoints) {
    try {
      return await dial(endpoint);
    } catch (error) {
      if (!hasCode(error, 'UNREACHABLE') && !hasCode(error, 'DAEMON_NOT_AUTHENTICATED')) throw error;
      errors.push(error);
    }
  }
  const [only, ...others] = errors;
  if (!only) throw new IdentityError('UNREACHABLE', 'No address of this daemon is known for this transport.');
  if (others.length === 0) throw only;
  const isAnother = errors.every(({ code }) => code === 'DAEMON_NOT_AUTHENTICATED');
  const tried = endpoints.map((endpoint, at) => `\n  ${endpoint}: ${errors[at]?.message}`);
  throw new IdentityError(
    isAnother ? 'DAEMON_NOT_AUTHENTICATED' : 'UNREACHABLE',
    `The daemon is at none of its ${endpoints.length} endpoints.${tried.join('')}`,
    { cause: only },
  );
}
