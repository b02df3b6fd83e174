// The interface of the loading process to the process of servers.ts.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { interleave, median, type Rounds, ratio } from './measure.ts';
import type { Question, ServersReady } from './servers.ts';
import { TemporaryFolder } from './temporary-folder.ts';

export interface Load {
  readonly run: () => Promise<void>;
  /** Releases the connections, outside the measurement. The next load begins after the servers have noticed. */
  readonly after?: () => void;
}

export class ServerProcess {
  readonly ready: ServersReady;
  readonly #child: ChildProcess;
  readonly #folder: TemporaryFolder;

  static async start(): Promise<ServerProcess> {
    const folder = await TemporaryFolder.make();
    const child = fork(new URL('./servers.ts', import.meta.url), [folder.path], {
      serialization: 'advanced',
    });
    const ready = await answerOf<ServersReady>(child);
    return new ServerProcess(child, folder, ready);
  }

  private constructor(child: ChildProcess, folder: TemporaryFolder, ready: ServersReady) {
    this.#child = child;
    this.#folder = folder;
    this.ready = ready;
  }

  /**
   * Loads two servers alternately. The share is the calls per second of the first over those of the second. Besides the
   * client's time, it returns the processor time of the servers' process, which does not depend on the client's speed.
   */
  async share(loads: Record<'first' | 'second', Load>, { calls, ...rounds }: Rounds & { calls: number }) {
    const cpu = { first: [] as number[], second: [] as number[] };
    const measured = (name: 'first' | 'second') => async () => {
      const before = await this.ask('cpu');
      const started = performance.now();
      await loads[name].run();
      const ms = performance.now() - started;
      cpu[name].push((await this.ask('cpu')) - before);
      if (loads[name].after) {
        loads[name].after();
        await this.ask('empty');
      }
      return ms;
    };
    const works = { first: measured('first'), second: measured('second') };
    const { first, second } = await interleave(works, rounds);
    const counted = (values: number[]) => values.slice(-first.length).reduce((sum, each) => sum + each, 0);
    const share = ratio(second, first);
    return {
      ...share,
      perSecond: { first: (calls * 1000) / median(first), second: (calls * 1000) / median(second) },
      cpuShare: counted(cpu.second) / counted(cpu.first),
      cpuUs: {
        first: (counted(cpu.first) / first.length / calls) * 1000,
        second: (counted(cpu.second) / second.length / calls) * 1000,
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.connected) {
      const ended = once(this.#child, 'exit');
      this.#child.disconnect();
      await ended;
    }
    this.#folder[Symbol.dispose]();
  }

  async ask(what: Question): Promise<number> {
    const answer = answerOf<number>(this.#child);
    this.#child.send(what);
    return answer;
  }
}

/** The next message of the process. @throws if the process ends. */
export async function answerOf<Message>(child: ChildProcess): Promise<Message> {
  const waiting = new AbortController();
  const { signal } = waiting;
  const ended = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`a process of this benchmark ended with ${code}`);
  });
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), ended]);
    return message;
  } finally {
    ended.catch(() => {});
    waiting.abort();
  }
}
