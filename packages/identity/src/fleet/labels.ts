// Labels: the operator's own words for a device, to filter lists and for the rules about capabilities.

import { IdentityError } from '../errors.ts';

/** Most labels of one device. */
export const maxLabels = 32;
/** Characters of one label. */
export const maxLabelLength = 63;

/** One word, or two with `=` between them. No quotes, spaces or commas, so a list of labels needs no escapes. */
const form = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?:=[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)?$/;

export function isLabel(text: string): boolean {
  return text.length <= maxLabelLength && form.test(text);
}

/**
 * Parses an operator's labels: without duplicates, in alphabetical order.
 * @throws MESSAGE_INVALID
 */
export function parseLabels(texts: readonly string[]): string[] {
  const wrong = texts.find((text) => !isLabel(text));
  if (wrong !== undefined) {
    throw new IdentityError(
      'MESSAGE_INVALID',
      `"${wrong.slice(0, maxLabelLength)}" is not a label. A label is a word like kitchen, or two like site=berlin: lower-case letters, digits, dots, hyphens and underscores, at most ${maxLabelLength} characters.`,
    );
  }
  const labels = [...new Set(texts)].sort();
  if (labels.length <= maxLabels) return labels;
  throw new IdentityError('MESSAGE_INVALID', `A device has at most ${maxLabels} labels.`);
}

/** Whether a device has every required label. */
export function hasLabels(
  device: { readonly labels: readonly string[] },
  wanted: readonly string[],
): boolean {
  return wanted.every((label) => device.labels.includes(label));
}
