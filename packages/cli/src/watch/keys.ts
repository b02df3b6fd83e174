// The bytes that a terminal sends in raw mode, as keys. A printable character is a key by its own name; what is neither
// that nor listed here is `other`.

import { UNPRINTABLE } from '@palyra/identity/values';

export type Key = string;

const named: Readonly<Record<string, Key>> = {
  '\u0003': 'ctrl-c',
  '\r': 'enter',
  '\n': 'enter',
  '\u0008': 'backspace',
  '\u007f': 'backspace',
  '\u001b': 'escape',
  // The second form is what terminals send in application mode.
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: a key that is no character begins with Escape.
const keys = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001bO[A-Z]|[\s\S]/gu;

const character = new RegExp(`^[^${UNPRINTABLE}]$`, 'u');

/** @returns what reads one chunk after the other; a character may be cut between two. */
export function keyReader(): (chunk: Uint8Array) => Key[] {
  const decoder = new TextDecoder();
  return (chunk) => {
    const sent = decoder.decode(chunk, { stream: true }).match(keys) ?? [];
    return sent.map((each) => named[each] ?? (character.test(each) ? each : 'other'));
  };
}
