// Turns the bytes of a terminal in raw mode into keys. A printable character is a key with its own name; any other
// sequence that is not listed here is `other`.

import { UNPRINTABLE } from '@palyra/identity/values';

export type Key = string;

const named: Readonly<Record<string, Key>> = {
  '\u0003': 'ctrl-c',
  '\r': 'enter',
  '\n': 'enter',
  '\u0008': 'backspace',
  '\u007f': 'backspace',
  '\u001b': 'escape',
  // Terminals send the second form in application mode.
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: a key that is not a character begins with Escape.
const keys = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001bO[A-Z]|[\s\S]/gu;

const character = new RegExp(`^[^${UNPRINTABLE}]$`, 'u');

/** @returns a function that reads one chunk after another; a character may be split across two chunks. */
export function keyReader(): (chunk: Uint8Array) => Key[] {
  const decoder = new TextDecoder();
  return (chunk) => {
    const sent = decoder.decode(chunk, { stream: true }).match(keys) ?? [];
    return sent.map((each) => named[each] ?? (character.test(each) ? each : 'other'));
  };
}
