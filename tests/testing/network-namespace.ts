// A separate network for some processes (Linux, root), which does not affect other processes.

import { spawnSync } from 'node:child_process';
import type { Scope } from './palyra-process.ts';

export class NetworkNamespace {
  readonly name: string;
  /** Prefix of a command that runs in it. */
  readonly under: readonly string[];

  /** Makes one with a working loopback interface. @throws if namespaces are not allowed; see `namespacesMissing`. */
  static make(scope: Scope): NetworkNamespace {
    made += 1;
    const namespace = new NetworkNamespace(`palyra-${process.pid}-${made}`);
    run(['ip', 'netns', 'add', namespace.name]);
    scope.after(async () => run(['ip', 'netns', 'delete', namespace.name]));
    namespace.run(['ip', 'link', 'set', 'lo', 'up']);
    return namespace;
  }

  private constructor(name: string) {
    this.name = name;
    this.under = ['ip', 'netns', 'exec', name];
  }

  run(command: readonly string[]): void {
    run([...this.under, ...command]);
  }

  /** Blocks all UDP packets. */
  blockUdp(): void {
    // The rule for local addresses comes first by default, so it must be moved to put another before it.
    this.run(['ip', 'rule', 'add', 'pref', '10', 'lookup', 'local']);
    this.run(['ip', 'rule', 'delete', 'pref', '0']);
    this.run(['ip', 'rule', 'add', 'pref', '1', 'ipproto', 'udp', 'type', 'blackhole']);
  }
}

let made = 0;

/** The reason why namespaces are impossible here; false if they are possible. */
export function namespacesMissing(): string | false {
  if (process.getuid?.() !== 0) return 'NOT TESTED: network namespaces need root';
  const { status, stderr, error } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  return status === 0 ? false : `NOT TESTED: ${error?.message ?? stderr.trim()} (Debian: iproute2)`;
}

function run([command, ...args]: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command!, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
}
