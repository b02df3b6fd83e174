// Whether a passphrase can be guessed by whoever has a copy of what it protects, and as much time as they like.

import { IdentityError } from '../errors.ts';

/**
 * log10 of the guesses that zxcvbn expects to be needed. At a second or more for each (passphrase.ts) that is some ten
 * thousand years on one processor.
 */
const MIN_GUESSES_LOG10 = 12;
/** What comes after is not judged: the time that it takes grows with the square of the length, to 13 s for 256 characters. */
const MAX_JUDGED_CHARACTERS = 64;

/**
 * To be asked where a passphrase is set, never where it is used.
 * @throws PASSPHRASE_WEAK
 */
export async function checkStrength(passphrase: string): Promise<void> {
  estimator ??= makeEstimator();
  const { guessesLog10, feedback } = (await estimator).check(passphrase);
  if (guessesLog10 >= MIN_GUESSES_LOG10) return;
  throw new IdentityError(
    'PASSPHRASE_WEAK',
    `The passphrase can be guessed${feedback.warning ? ` (${feedback.warning.replace(/\.$/, '')})` : ''}. Take five or more words that have nothing to do with each other or with you, or have one made: openssl rand -base64 18`,
  );
}

/** Its dictionaries take a moment and some memory, and only who sets a passphrase needs them. */
let estimator: ReturnType<typeof makeEstimator> | undefined;

async function makeEstimator() {
  const [{ ZxcvbnFactory }, common, english] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
    import('@zxcvbn-ts/language-en'),
  ]);
  return new ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    maxLength: MAX_JUDGED_CHARACTERS,
    translations: english.translations,
  });
}
