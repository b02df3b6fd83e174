// A whole daemon under load in a separate process, with paired devices; beside it, with the same certificates, bare
// servers that send the same bytes.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DaemonConfigInput } from '@palyra/daemon';
import { residentBytes } from '../tests/testing/process-figures.ts';
import type { DaemonQuestion, DaemonReady } from './daemon-server.ts';
import { answerOf } from './server-process.ts';

export class BenchDaemon {
  readonly ready: DaemonReady;
  readonly home: string;
  readonly #child: ChildProcess;

  /** @param under a command line prefix for the process. @param config more of its configuration. */
  static async start(
    devices: number,
    {
      host = '127.0.0.1',
      under = [],
      config = {},
    }: {
      readonly host?: string;
      readonly under?: readonly string[];
      readonly config?: DaemonConfigInput;
    } = {},
  ): Promise<BenchDaemon> {
    const home = await mkdtemp(join(tmpdir(), 'palyra-bench-'));
    const script = new URL('./daemon-server.ts', import.meta.url).pathname;
    const node = [process.execPath, '--expose-gc', '--disable-warning=ExperimentalWarning'];
    const given = [home, String(devices), host, JSON.stringify(config)];
    const [command, ...words] = [...under, ...node, script, ...given];
    const child = spawn(command!, words, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
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

  /** Resident memory now, with what no collection has freed yet. */
  residentBytes(): Promise<number> {
    return residentBytes(this.#child.pid!);
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
    await rm(this.home, { recursive: true });
  }
}
