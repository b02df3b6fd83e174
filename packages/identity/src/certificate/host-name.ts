// The names and addresses of a host, for the DNS and IP names in certificates.

const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The last label of a name that a browser takes for an IPv4 address (WHATWG URL, "ends in a number"). */
const numeric = /^(?:\d+|0x[0-9a-f]*)$/;

const number = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
/** Four decimal numbers without leading zeros. */
const ipv4 = new RegExp(`^${number}(?:\\.${number}){3}$`);

/** A lower-case DNS name (RFC 1123 2.1): letters, digits, hyphens; no wildcard; not an IPv4 address. */
export function isDnsName(text: string): boolean {
  if (text.length > 253) return false;
  const labels = text.split('.');
  return labels.every((part) => label.test(part)) && !numeric.test(labels.at(-1)!);
}

/** The 4 or 16 bytes of an address (RFC 5280 4.2.1.6); undefined for other text or a zone (`fe80::1%eth0`). */
export function ipAddressBytes(text: string): Uint8Array | undefined {
  if (ipv4.test(text)) return Uint8Array.from(text.split('.').map(Number));
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(text) || !URL.canParse(`http://[${text}]`)) return undefined;
  // The URL parser reads every form and writes one form: hexadecimal groups with at most one `::`.
  const [head, tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::');
  const groups = (part: string | undefined) => (part ? part.split(':') : []);
  const left = groups(head);
  const right = groups(tail);
  const middle = new Array<string>(8 - left.length - right.length).fill('0');
  return Uint8Array.from(
    [...left, ...middle, ...right].flatMap((group) => [
      Number.parseInt(group, 16) >> 8,
      Number.parseInt(group, 16) & 0xff,
    ]),
  );
}
