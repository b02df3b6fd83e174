// Text that a stranger chose and an operator will read. It must show what it is: nothing invisible, nothing that moves a
// cursor, nothing that turns the text beside it around, no pile of marks that runs into the next line.
//
// Letters of right-to-left scripts are allowed, because people have such names. Whatever shows them isolates them from
// the text around (cli/printable.ts, `bdi` in the console).

import { IdentityError } from './errors.ts';

/** Characters without a sign of their own, for a character class: marks of order, joiners, places to break a line. */
export const INVISIBLE = String.raw`\p{Default_Ignorable_Code_Point}\p{Cf}`;
/** Characters that a line of text has no use for, for a character class: what is invisible, controls, ends of lines. */
export const UNPRINTABLE = String.raw`\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}`;

/** Of one character in UTF-16 units, on average over a text. Hindi needs four, a flag too. */
const unitsPerCharacter = 4;
/** What a reader takes for one character (UAX #29). */
const characters = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Marks on one letter. Vietnamese and Hindi need two or three, and UTS #39 5.4 refuses more than four. */
const MAX_MARKS = 4;

/** Each kind of character that is refused, and why. The first that matches gives the reason. */
const refused: readonly (readonly [RegExp, why: string])[] = [
  [/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u, 'changes the direction of text'],
  [new RegExp(`[${INVISIBLE}]`, 'u'), 'is invisible'],
  // Without a mark of their own, though Unicode calls them symbols or letters.
  [/[\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u, 'looks empty'],
  [/[\p{Zl}\p{Zp}]/u, 'breaks the line'],
  [/[\p{Cc}]/u, 'is a control character'],
  [/[\p{Cs}]/u, 'is half of a character'],
  [/[\p{Co}\p{Cn}]/u, 'has no agreed meaning'],
];
const anyRefused = new RegExp(refused.map(([{ source }]) => source).join('|'), 'gu');

/**
 * One mark more than is allowed, or the same mark twice, which looks like once. Marks that take space do not pile up. A run
 * of those is looked at from its beginning alone: from each of its marks, it would take hours for what fits into an answer.
 */
const piledMarks = new RegExp(
  String.raw`(?<!\p{Mc})(?:\p{Mc}*[\p{Mn}\p{Me}]){${MAX_MARKS + 1},}|([\p{Mn}\p{Me}])\1+`,
  'gu',
);
const markWithoutLetter = /(?:^|\s)\p{M}/u;

/**
 * Takes text of one line as it is. Empty text is taken.
 * @param what it is, for the message: `A reason`.
 * @param maxLength in characters as their reader sees them.
 * @throws MESSAGE_INVALID, which names the character and its place.
 */
export function parseVisibleText(what: string, text: string, maxLength: number): string {
  // The units first: to count the characters of any length of text takes time.
  if (text.length > maxLength * unitsPerCharacter || lengthOf(text) > maxLength)
    throw invalid(`${what} has at most ${maxLength} characters.`);
  let at = 0;
  for (const character of text) {
    const why = refused.find(([pattern]) => pattern.test(character))?.[1];
    if (why) throw cannotHold(what, text, at, why);
    at += character.length;
  }
  const pile = text.matchAll(piledMarks).next().value;
  if (pile)
    throw cannotHold(
      what,
      text,
      lastOf(pile),
      `stands on a pile of marks; one letter takes ${MAX_MARKS} different ones`,
    );
  const lonely = markWithoutLetter.exec(text);
  if (lonely) throw cannotHold(what, text, lastOf(lonely), 'is a mark without a letter');
  return text;
}

/** The same rule for text that is shown all the same: each character that it refuses becomes U+FFFD. */
export function printable(text: string): string {
  return text.replaceAll(anyRefused, '\uFFFD').replaceAll(piledMarks, '\uFFFD');
}

/** How many characters a reader sees in it. */
export function lengthOf(text: string): number {
  return [...characters.segment(text)].length;
}

/** The refusal of what stands at this place of a text, by its code point: it may well be invisible. */
export function cannotHold(what: string, text: string, at: number, why: string): IdentityError {
  const code = text.codePointAt(at)!.toString(16).toUpperCase().padStart(4, '0');
  const { index, segment } = characters.segment(text).containing(at)!;
  const position = lengthOf(text.slice(0, index + segment.length));
  return invalid(`${what} cannot hold U+${code} at position ${position}: it ${why}.`);
}

/** Where the last code point of a match begins. */
function lastOf({ 0: match, index }: RegExpExecArray): number {
  return index + match.length - [...match].at(-1)!.length;
}

const invalid = (message: string): IdentityError => new IdentityError('MESSAGE_INVALID', message);
