// For terminals that cannot show boxes: our own decorations in ASCII. Names and other words stay as they are.

import type { Sink } from './invocation.ts';

/** Each stands for one character, so that columns stay where they are. */
const ascii: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ['─━╌╍', '-'],
    ['│┃╎╏', '|'],
    ['┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝═║', '+'],
    ['◆●■◼▪', '*'],
    ['◇○□◻', 'o'],
    ['▲', '!'],
    ['…', '~'],
    ['·•', '-'],
    ['→', '>'],
    ['✔✓', 'v'],
    ['✖✗', 'x'],
  ].flatMap(([from = '', to = '']) => [...from].map((each) => [each, to] as const)),
);
const decorations = new RegExp(`[${Object.keys(ascii).join('')}]`, 'g');

export function plainAscii(text: string): string {
  return text.replace(decorations, (each) => ascii[each]!);
}

/** The same sink, for programs that draw with what it cannot show. */
export function plainSink(sink: Sink): Sink {
  return new Proxy(sink, {
    get(target, name) {
      if (name === 'write')
        return (chunk: unknown, ...rest: []) =>
          target.write(typeof chunk === 'string' ? plainAscii(chunk) : chunk, ...rest);
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Terminals whose fonts or character sets have no boxes. */
const plainTerminals = /^(?:dumb|linux|vt\d\d\d?|xterm-old|ansi|sun)$/;

/**
 * Whether boxes can be shown. Without a locale in the environment, as in a container, the terminal decides: Node writes UTF-8.
 * @param environment LC_ALL, LC_CTYPE, LANG (POSIX, "Internationalization Variables") and TERM.
 */
export function showsBoxes(
  { LC_ALL, LC_CTYPE, LANG, TERM }: NodeJS.ProcessEnv,
  isTerminal: boolean,
): boolean {
  const locale = LC_ALL || LC_CTYPE || LANG || '';
  if (locale !== '' && !/utf-?8/i.test(locale)) return false;
  return !isTerminal || !plainTerminals.test(TERM ?? '');
}
