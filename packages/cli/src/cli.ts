// The context that every command receives.

import type { Home } from './home.ts';
import type { Invocation } from './invocation.ts';
import type { Output } from './output.ts';
import { type Remote, worksRemotely } from './remote.ts';

/** The side that a command belongs to. Device and operator often use different machines, each with its own home. */
export type Side = 'device' | 'operator';

export interface Cli {
  readonly invocation: Invocation;
  readonly output: Output;
  readonly home: Home;
  readonly side: Side;
  /** Set when the daemon is on another machine and this device belongs to an operator. */
  readonly remote?: Remote;
  readonly now: () => number;
}

/** Keeps a long-running command alive when its terminal closes, or when its output is full or nobody reads it. */
export function stayUp({ invocation, output }: Pick<Cli, 'invocation' | 'output'>): void {
  invocation.outlivesTerminal();
  output.dropUnread();
}

/** The command line that this person would type next. */
export function followUp(
  { invocation, home, remote }: Pick<Cli, 'invocation' | 'home' | 'remote'>,
  command: string,
): string {
  const isOperators = sideOf(command) === 'operator';

  // The person types this command on the daemon's machine, which has its own home.
  if (remote && isOperators && !worksRemotely(command)) return `palyra ${command}`;
  const flags = remote && isOperators ? remote.flags : '';
  return [invocation.program, flags, command, home.flag].filter(Boolean).join(' ');
}

const onDevice = /^(?:pair|renew|node (?!exec))\b(?!ing)/;

/** @param command like `pairing code`. */
export function sideOf(command: string): Side {
  return onDevice.test(command) ? 'device' : 'operator';
}
