// Text that a stranger chose and an operator will read. It must show what it is: nothing invisible, nothing that moves a
// cursor, nothing that turns the text beside it around, no pile of marks that runs into the next line.
//
// Letters of right-to-left scripts are allowed, because people have such names. Whatever shows them isolates them from
// the text around (cli/printable.ts, `bdi` in the console).

import { IdentityError } from './errors.ts';

/** Marks on one letter. Vietnamese and Hindi need two or three, and UTS #39 5.4 refuses more than four. */
const MAX_MARKS = 4;

/** Each kind of character that is refused, and why. The first that matches gives the reason. */
const refused: readonly (readonly [RegExp, why: string])[] = [
  [/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u, 'changes the direction of text'],
  [/[\p{Default_Ignorable_Code_Point}\p{Cf}]/u, 'is invisible'],
  // Without a mark of their own, though Unicode calls them symbols or letters.
  [/[\u2800\ufffc\u{13441}\u{13442}\u{1d159}]/u, 'looks empty'],
  [/[\p{Zl}\p{Zp}]/u, 'breaks the line'],
  [/[\p{Cc}]/u, 'is a control character'],
  [/[\p{Cs}]/u, 'is half of a character'],
  [/[\p{Co}\p{Cn}]/u, 'has no agreed meaning'],
];
const anyRefused = new RegExp(refused.map(([{ source }]) => source).join('|'), 'gu');

/** One mark more than is allowed, or the same mark twice, which looks like once. Marks that take space do not pile up. */
const piledMarks = new RegExp(
  String.raw`(?:\p{Mc}*[\p{Mn}\p{Me}]){${MAX_MARKS + 1},}|([\p{Mn}\p{Me}])\1+`,
  'gu',
);
const markWithoutLetter = /(?:^|\s)\p{M}/u;

/**
 * Takes text of one line as it is. Empty text is taken.
 * @param what it is, for the message: `A reason`.
 * @param maxLength in UTF-16 units.
 * @throws MESSAGE_INVALID, which names the character.
 */
export function parseVisibleText(what: string, text: string, maxLength: number): string {
  if (text.length > maxLength) throw invalid(`${what} has at most ${maxLength} characters.`);
  for (const character of text) {
    const why = refused.find(([pattern]) => pattern.test(character))?.[1];
    if (why) throw cannotHold(what, character, why);
  }
  const pile = text.match(piledMarks)?.[0];
  if (pile) {
    const mark = [...pile].at(-1)!;
    throw cannotHold(what, mark, `stands on a pile of marks; one letter takes ${MAX_MARKS} different ones`);
  }
  const lonely = markWithoutLetter.exec(text)?.[0];
  if (lonely) throw cannotHold(what, [...lonely].at(-1)!, 'is a mark without a letter');
  return text;
}

/** The same rule for text that is shown all the same: each character that it refuses becomes U+FFFD. */
export function printable(text: string): string {
  return text.replaceAll(anyRefused, '\uFFFD').replaceAll(piledMarks, '\uFFFD');
}

/** The refusal of one character, by its code point: it may well be invisible. */
export function cannotHold(what: string, character: string, why: string): IdentityError {
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
  return invalid(`${what} cannot hold U+${code}: it ${why}.`);
}

const invalid = (message: string): IdentityError => new IdentityError('MESSAGE_INVALID', message);
