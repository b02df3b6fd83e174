// A whole daemon under load, as a process of its own, with devices that are already paired; and beside it, with the same
// certificates, bare servers that send the same bytes.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DaemonQuestion, DaemonReady } from './daemon-server.ts';
import { answerOf } from './server-process.ts';

export class BenchDaemon {
  readonly ready: DaemonReady;
  readonly home: string;
  readonly #child: ChildProcess;

  static async start(devices: number): Promise<BenchDaemon> {
    const home = await mkdtemp(join(tmpdir(), 'palyra-bench-'));
    const child = fork(new URL('./daemon-server.ts', import.meta.url), [home, String(devices)], {
      serialization: 'advanced',
      execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
    });
    return new BenchDaemon(child, home, await answerOf<DaemonReady>(child));
  }

  private constructor(child: ChildProcess, home: string, ready: DaemonReady) {
    this.#child = child;
    this.home = home;
    this.ready = ready;
  }

  async ask(what: DaemonQuestion): Promise<number> {
    const answer = answerOf<number>(this.#child);
    this.#child.send(what);
    return answer;
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
    await rm(this.home, { recursive: true });
  }
}
