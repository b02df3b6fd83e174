// Two network namespaces with a link that loses and delays packets (Linux, root). It works for all IP traffic, on
// kernels without netem.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { NetworkNamespace, namespacesMissing } from './network-namespace.ts';
import type { Scope } from './palyra-process.ts';

export interface LinkWeather {
  /** Share of lost packets in each direction: 0 to 1. */
  readonly loss: number;
  /** Delay in each direction, ms. */
  readonly delayMs: number;
  /** Variation of the delay up and down, ms, so that packets can overtake each other. */
  readonly jitterMs?: number;
  /** Seed of the random numbers. */
  readonly seed?: number;
}

export class LossyLink {
  /** Address of the near end for the far end. */
  readonly nearHost = '198.18.0.1';
  readonly farHost = '198.18.0.2';
  readonly near: NetworkNamespace;
  readonly far: NetworkNamespace;

  static async make(scope: Scope, weather: LinkWeather): Promise<LossyLink> {
    const link = new LossyLink(scope);
    const { loss, delayMs, jitterMs = 0, seed = 1 } = weather;
    const ends = [link.near.name, link.nearHost, link.far.name, link.farHost];
    const words = [...ends, loss, delayMs, jitterMs, seed].map(String);
    const relay = spawn(python, [join(import.meta.dirname, 'lossy_link.py'), ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    scope.after(async () => {
      const ended = relay.exitCode === null && once(relay, 'exit');
      relay.stdin.end();
      await ended;
    });
    await begun(relay);
    return link;
  }

  private constructor(scope: Scope) {
    this.near = NetworkNamespace.make(scope);
    this.far = NetworkNamespace.make(scope);
  }
}

const python = '/usr/bin/python3';

async function begun(relay: ChildProcess): Promise<void> {
  const ended = once(relay, 'exit').then(([code]) => {
    throw new Error(`the link ended with ${code}`);
  });
  ended.catch(() => {});
  await Promise.race([once(relay.stdout!, 'data'), ended]);
}

/** The reason why such a link is impossible here; false if it is possible. */
export function lossyLinkMissing(): string | false {
  const missing = namespacesMissing();
  if (missing) return missing;
  if (spawnSync(python, ['--version']).error) return `NOT TESTED: ${python} is missing (Debian: python3)`;
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return false;
  } catch (error) {
    return `NOT TESTED: ${(error as Error).message}`;
  }
}
