// Finds a thing by its whole id, or by enough of the beginning or end of the id to be unique.

import type { IdentityErrorCode } from '@palyra/identity';
import { CliError } from './failure.ts';
import { printable } from './printable.ts';

/** The form of a daemon's ids, each of which is a plain word to a shell. */
export const wholeId = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const shortest = 4;
/** Terminals with fewer columns have no room for a whole id in a table. */
const narrow = 80;

export interface ReferenceSource {
  /** The kind of thing: `request`, `device`. */
  readonly noun: string;
  readonly notFound: IdentityErrorCode;
  /** The command that lists these things. */
  readonly list: string;
  readonly ids: () => AsyncIterable<string> | Iterable<string> | Promise<Iterable<string>>;
  /** Finds the ids with exactly this name, for the hint to a person who gave a name. Names need not be unique. */
  readonly named?: (name: string) => Promise<readonly string[]>;
  /** Whether a name is as good as an id when only one thing has it. Otherwise a name only leads to a hint. */
  readonly byName?: boolean;
}

/** Ids end in random characters, so tables show the end. */
export function shortId(id: string): string {
  return id.slice(-8);
}

/** Whether a table lacks room for whole ids. */
export function isNarrow(columns: number): boolean {
  return columns < narrow;
}

/** The id in a table: whole if there is room for it. */
export function idIn(columns: number, id: string): string {
  return isNarrow(columns) && id.length > 8 ? (wholeId.test(id) ? shortId(id) : id.slice(0, 8)) : id;
}

/**
 * Returns a whole id unchanged; the daemon judges it.
 * @throws USAGE if the reference is too short or fits several ids, and `notFound`.
 */
export async function resolveId(reference: string, source: ReferenceSource): Promise<string> {
  const wanted = reference.toUpperCase();
  if (wholeId.test(wanted)) return wanted;
  if (source.byName) {
    const [only, ...others] = (await source.named?.(reference)) ?? [];
    const isPartOfId = wanted.length >= shortest && (await idsLike(wanted, source)).some((id) => id !== only);
    if (only !== undefined && others.length === 0 && !isPartOfId) return only;
    if (only !== undefined) throw new CliError('USAGE', severalHave(reference, source, [only, ...others]));
  }
  if (wanted.length < shortest || !/^[0-9A-Z]{1,26}$/.test(wanted)) {
    const hint = await nameHint(reference, source);
    throw new CliError(
      'USAGE',
      hint ??
        `"${reference}" is not the id of a ${source.noun}. Give the whole id, or at least ${shortest} characters of its beginning or end. See: ${source.list}`,
    );
  }
  const found = await idsLike(wanted, source);
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
    `${found.length} ${source.noun}s have an id that begins or ends with ${wanted}: ${found.slice(0, 5).join(', ')}${found.length > 5 ? ', …' : ''}. Give more characters.`,
  );
}

async function idsLike(wanted: string, { ids }: ReferenceSource): Promise<string[]> {
  const found: string[] = [];
  for await (const id of await ids()) if (id.startsWith(wanted) || id.endsWith(wanted)) found.push(id);
  return found;
}

function severalHave(reference: string, { noun }: ReferenceSource, ids: readonly string[]): string {
  const shown = `${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`;
  return `"${printable(reference)}" means more than one ${noun}. Give an id: ${shown}`;
}

async function nameHint(reference: string, { named }: ReferenceSource): Promise<string | undefined> {
  const ids = reference === '' ? [] : ((await named?.(reference)) ?? []);
  if (ids.length === 0) return undefined;
  const who = ids.length === 1 ? 'device called' : `${ids.length} devices called`;
  const shown = `${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`;
  return `Use the id: the ${who} ${printable(reference)} ${ids.length === 1 ? 'has' : 'have'} ${shown}`;
}
