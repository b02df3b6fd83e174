// How a person names a thing: its whole id, or enough of its beginning or end that only one fits.

import type { IdentityErrorCode } from '@palyra/identity';
import { CliError } from './failure.ts';
import { printable } from './printable.ts';

/** What a daemon's ids look like; a shell takes each for a plain word. */
export const wholeId = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const shortest = 4;
/** Columns of a terminal in which a table has no room for a whole id. */
const narrow = 80;

export interface ReferenceSource {
  /** What is looked for: `request`, `device`. */
  readonly noun: string;
  readonly notFound: IdentityErrorCode;
  /** Command that lists them. */
  readonly list: string;
  readonly ids: () => AsyncIterable<string> | Iterable<string> | Promise<Iterable<string>>;
  /** Those with exactly this name, for who gives a name: it is told the id, since names can be given twice. */
  readonly named?: (name: string) => Promise<readonly string[]>;
}

/** The ids end in what was chosen at random, so the end is what tables show. */
export function shortId(id: string): string {
  return id.slice(-8);
}

/** Whether a table has no room for whole ids. */
export function isNarrow(columns: number): boolean {
  return columns < narrow;
}

/** For a table: the whole id where there is room for it. */
export function idIn(columns: number, id: string): string {
  return isNarrow(columns) && id.length > 8 ? (wholeId.test(id) ? shortId(id) : id.slice(0, 8)) : id;
}

/**
 * A whole id is taken as it is, for the daemon to judge.
 * @throws USAGE when it is too short or fits several, and `notFound`.
 */
export async function resolveId(reference: string, source: ReferenceSource): Promise<string> {
  const wanted = reference.toUpperCase();
  if (wholeId.test(wanted)) return wanted;
  if (wanted.length < shortest || !/^[0-9A-Z]{1,26}$/.test(wanted)) {
    const hint = await nameHint(reference, source);
    throw new CliError(
      'USAGE',
      hint ??
        `"${reference}" is not the id of a ${source.noun}: give all of it, or at least ${shortest} characters of its beginning or end. See: ${source.list}`,
    );
  }
  const found: string[] = [];
  for await (const id of await source.ids()) {
    if (id.startsWith(wanted) || id.endsWith(wanted)) found.push(id);
  }
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  if (only === undefined) {
    const hint = await nameHint(reference, source);
    throw new CliError(
      source.notFound,
      hint ?? `There is no ${source.noun} whose id begins or ends with ${wanted}. See: ${source.list}`,
    );
  }
  throw new CliError(
    'USAGE',
    `${found.length} ${source.noun}s have an id that begins or ends with ${wanted}: ${found.slice(0, 5).join(', ')}${found.length > 5 ? ', …' : ''}. Give more of it.`,
  );
}

async function nameHint(reference: string, { named }: ReferenceSource): Promise<string | undefined> {
  const ids = reference === '' ? [] : ((await named?.(reference)) ?? []);
  if (ids.length === 0) return undefined;
  const who = ids.length === 1 ? 'device called' : `${ids.length} devices called`;
  const shown = `${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`;
  return `Name it by its id: the ${who} ${printable(reference)} ${ids.length === 1 ? 'has' : 'have'} ${shown}`;
}
