// What every command works with.

import type { Home } from './home.ts';
import type { Invocation } from './invocation.ts';
import type { Output } from './output.ts';
import { type Remote, worksRemotely } from './remote.ts';

/** Whose command it is. The two often run on different machines, each with a home of its own. */
export type Side = 'device' | 'operator';

export interface Cli {
  readonly invocation: Invocation;
  readonly output: Output;
  readonly home: Home;
  readonly side: Side;
  /** Set when the daemon is on another machine, and this device is an operator's. */
  readonly remote?: Remote;
  readonly now: () => number;
}

/** For what is to stay up: a terminal that closes, and an output that nobody reads or that is full, do not end it. */
export function stayUp({ invocation, output }: Pick<Cli, 'invocation' | 'output'>): void {
  invocation.outlivesTerminal();
  output.dropUnread();
}

/** A command as this person would type it next. */
export function followUp(
  { invocation, home, remote }: Pick<Cli, 'invocation' | 'home' | 'remote'>,
  command: string,
): string {
  const isOperators = sideOf(command) === 'operator';
  // It is typed on the daemon's machine, which has a home of its own.
  if (remote && isOperators && !worksRemotely(command)) return `palyra ${command}`;
  const flags = remote && isOperators ? remote.flags : '';
  return [invocation.program, flags, command, home.flag].filter(Boolean).join(' ');
}

const onDevice = /^(?:pair|renew|node (?!exec))\b(?!ing)/;

/** @param command like `pairing code`. */
export function sideOf(command: string): Side {
  return onDevice.test(command) ? 'device' : 'operator';
}
