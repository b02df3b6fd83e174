// Text that a stranger may have chosen, made safe for a terminal: it cannot move the cursor, change colours or turn
// the text around. The daemon refuses such names already; a terminal is not the place to rely on that.

const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

export function printable(text: string): string {
  return text.replaceAll(unprintable, '\uFFFD');
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
