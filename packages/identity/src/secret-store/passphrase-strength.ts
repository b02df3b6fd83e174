// Checks whether somebody with a copy of the protected data and unlimited time could guess a passphrase.

import { IdentityError } from '../errors.ts';

/**
 * log10 of the guesses that zxcvbn estimates. At a second or more for each guess (passphrase.ts), that is about ten
 * thousand years on one processor.
 */
const MIN_GUESSES_LOG10 = 12;
/** Only these first characters are judged, because the time grows with the square of the length: 13 s for 256. */
const MAX_JUDGED_CHARACTERS = 64;

/**
 * Call it where a passphrase is set, never where it is used.
 * @throws PASSPHRASE_WEAK
 */
export async function checkStrength(passphrase: string): Promise<void> {
  estimator ??= makeEstimator();
  const { guessesLog10, feedback } = (await estimator).check(passphrase);
  if (guessesLog10 >= MIN_GUESSES_LOG10) return;
  throw new IdentityError(
    'PASSPHRASE_WEAK',
    `The passphrase can be guessed${feedback.warning ? ` (${feedback.warning.replace(/\.$/, '')})` : ''}. Take five or more words that are unrelated to each other and to you, or generate one: openssl rand -base64 18`,
  );
}

/** Loaded only to set a passphrase, because the dictionaries take time and memory. */
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
