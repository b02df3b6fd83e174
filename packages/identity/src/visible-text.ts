// Text that a stranger chose and an operator will read. It must not deceive: no invisible characters, none that move a
// cursor or reverse the text beside them, and no stacked marks that reach into the next line.
//
// Letters of right-to-left scripts are allowed, because people have such names. Every display isolates them from the
// text around them (cli/printable.ts, `bdi` in the console).

import { IdentityError } from './errors.ts';

/** Characters without a visible form, for a character class: direction marks, joiners, line break opportunities. */
export const INVISIBLE = String.raw`\p{Default_Ignorable_Code_Point}\p{Cf}`;
/** Characters that a line of text does not need, for a character class: invisible ones, controls, line ends. */
export const UNPRINTABLE = String.raw`\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}`;

/** UTF-16 units per character, on average over a text. Hindi and flags need four. */
const unitsPerCharacter = 4;
/** Almost all text. It needs none of the tables of Unicode, and loading those takes longer than most commands. */
const plain = /^[ -~]*$/;

let segmenter: Intl.Segmenter | undefined;

/** The characters that a reader sees (UAX #29). */
export function charactersOf(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return segmenter.segment(text);
}

/** Most marks on one letter. Vietnamese and Hindi need two or three, and UTS #39 5.4 refuses more than four. */
const MAX_MARKS = 4;

/** The refused kinds of characters, with the reason. The first match counts. */
const refused: readonly (readonly [RegExp, why: string])[] = [
  [/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u, 'changes the direction of text'],
  [new RegExp(`[${INVISIBLE}]`, 'u'), 'is invisible'],
  // These look blank, although Unicode calls them symbols or letters.
  [/[\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u, 'looks empty'],
  [/[\p{Zl}\p{Zp}]/u, 'breaks the line'],
  [/[\p{Cc}]/u, 'is a control character'],
  [/[\p{Cs}]/u, 'is half of a character'],
  [/[\p{Co}\p{Cn}]/u, 'has no agreed meaning'],
];
const anyRefused = new RegExp(refused.map(([{ source }]) => source).join('|'), 'gu');

/**
 * One mark more than allowed, or the same mark twice, which looks like one. Spacing marks do not stack. The pattern
 * matches a run only from its beginning: from each mark of the run, it would take hours for text of an allowed length.
 */
const piledMarks = new RegExp(
  String.raw`(?<!\p{Mc})(?:\p{Mc}*[\p{Mn}\p{Me}]){${MAX_MARKS + 1},}|([\p{Mn}\p{Me}])\1+`,
  'gu',
);
const markWithoutLetter = /(?:^|\s)\p{M}/u;

/**
 * Accepts one line of text unchanged, including empty text.
 * @param what the kind of text, for the message: `A reason`.
 * @param maxLength in characters as a reader sees them.
 * @throws MESSAGE_INVALID, which names the character and its position.
 */
export function parseVisibleText(what: string, text: string, maxLength: number): string {
  // Checks the units first, because counting the characters of a very long text takes time.
  if (text.length > maxLength * unitsPerCharacter || lengthOf(text) > maxLength)
    throw invalid(`${what} has at most ${maxLength} characters.`);
  if (plain.test(text)) return text;
  let at = 0;
  for (const character of text) {
    const why = refused.find(([pattern]) => pattern.test(character))?.[1];
    if (why) throw cannotContain(what, text, at, why);
    at += character.length;
  }
  const pile = text.matchAll(piledMarks).next().value;
  if (pile)
    throw cannotContain(
      what,
      text,
      lastOf(pile),
      `is one mark too many; a letter can have at most ${MAX_MARKS} different ones`,
    );
  const lonely = markWithoutLetter.exec(text);
  if (lonely) throw cannotContain(what, text, lastOf(lonely), 'is a mark without a letter');
  return text;
}

/** For text that is shown anyway: replaces each refused character with U+FFFD. */
export function printable(text: string): string {
  if (plain.test(text)) return text;
  return text.replaceAll(anyRefused, '\uFFFD').replaceAll(piledMarks, '\uFFFD');
}

/** The number of characters that a reader sees. */
export function lengthOf(text: string): number {
  return plain.test(text) ? text.length : [...charactersOf(text)].length;
}

/** Refuses the character at this position, and names its code point, because it may be invisible. */
export function cannotContain(what: string, text: string, at: number, why: string): IdentityError {
  const code = text.codePointAt(at)!.toString(16).toUpperCase().padStart(4, '0');
  const { index, segment } = charactersOf(text).containing(at)!;
  const position = lengthOf(text.slice(0, index + segment.length));
  return invalid(`${what} cannot contain U+${code} at position ${position}: it ${why}.`);
}

/** The position of the last code point of a match. */
function lastOf({ 0: match, index }: RegExpExecArray): number {
  return index + match.length - [...match].at(-1)!.length;
}

const invalid = (message: string): IdentityError => new IdentityError('MESSAGE_INVALID', message);
