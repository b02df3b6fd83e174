// The serial of a certificate, in the forms in which other programs print it.

/** Ours have 16 bytes. */
const serialHexDigits = 32;
const maxTextLength = 128;

/**
 * Reads `04:AF:...`, `04 af ...`, `04af...`, `0x4af...`, `serial=04AF...` and a decimal number, as OpenSSL, Windows, browsers,
 * Go and Python print a serial. Leading zeros may be missing, or there may be more of them.
 * @returns the possible serials, as 32 lower-case hex digits: digits alone can be hex or decimal.
 */
export function serialsIn(text: string): readonly string[] {
  if (text.length > maxTextLength) return [];
  const bare = text
    .trim()
    .toLowerCase()
    .replace(/^serial(?:[ _-]?number)?\s*[:=]\s*/, '');
  const isMarked = bare.startsWith('0x');
  const digits = bare.replace(/^0x/, '').replaceAll(/[:\s-]/g, '');
  const found = new Set<string>();
  if (/^[0-9a-f]+$/.test(digits)) add(found, digits);
  if (!isMarked && /^[0-9]+$/.test(bare)) add(found, BigInt(bare).toString(16));
  return [...found];
}

function add(found: Set<string>, hex: string): void {
  const significant = hex.replace(/^0+/, '');
  if (significant !== '' && significant.length <= serialHexDigits)
    found.add(significant.padStart(serialHexDigits, '0'));
}
