// Draws a QR code in the terminal, with two modules in each character and the quiet zone of four modules that scanners
// need (ISO/IEC 18004).

import { renderUnicodeCompact } from 'uqr';

/** Fixes the colours, whatever the terminal's theme is, because many scanners cannot read an inverted code. */
const whiteOnBlack = '\u001b[38;5;231;48;5;16m';
const reset = '\u001b[0m';

/** Undefined when the terminal is too narrow, or cannot show blocks. */
export function qrCode(
  text: string,
  options: { readonly columns: number; readonly hasColor: boolean; readonly showsBoxes: boolean },
): string | undefined {
  const { columns, hasColor, showsBoxes } = options;
  if (!showsBoxes) return undefined;
  const lines = renderUnicodeCompact(text, { border: 4, ecc: 'L' }).split('\n');
  if (lines[0]!.length > columns) return undefined;
  return lines.map((line) => (hasColor ? `${whiteOnBlack}${line}${reset}` : line)).join('\n');
}
