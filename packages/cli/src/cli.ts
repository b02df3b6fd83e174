// What every command works with.

import type { Home } from './home.ts';
import type { Invocation } from './invocation.ts';
import type { Output } from './output.ts';

export interface Cli {
  readonly invocation: Invocation;
  readonly output: Output;
  readonly home: Home;
  readonly now: () => number;
}

/** A command as this person would type it next. */
export function followUp({ invocation, home }: Pick<Cli, 'invocation' | 'home'>, command: string): string {
  return [invocation.program, command, home.flag].filter(Boolean).join(' ');
}

const named =
  /\bpalyra ((?:daemon|pair|status|why|(?:pairing|node|devices|ca|audit) [a-z]+)\b(?: [A-Z]+\b| --[a-z-]+)*)/g;

/** The library's messages name commands as `palyra pairing code`; this makes them the ones that work here. */
export function withFollowUps(
  { invocation, home }: Pick<Cli, 'invocation' | 'home'>,
  message: string,
): string {
  // Made here, by followUp.
  if (message.includes(home.flag || invocation.program)) return message;
  return message.replaceAll(named, (_, command: string) => followUp({ invocation, home }, command));
}
