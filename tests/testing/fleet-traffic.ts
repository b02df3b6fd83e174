// Devices that call without a pause and renew now and then, and an operator who changes one of them, at whichever daemon of a fleet
// answers. There must always be one.

import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { renewCertificate } from '@palyra/identity/device';
import { fromConnectError, NodeService } from '@palyra/rpc';
import type { DaemonProcess } from './daemon-process.ts';
import { dial, type Paired, type Transport } from './revocation-round.ts';
import { until } from './until.ts';

/** So that the daemons, and what starts beside them, get on, ms. */
const pauseMs = 100;

export interface Caller {
  readonly paired: Paired;
  readonly transport: Transport;
}

export class Traffic {
  /** Names that the operator gave, in the order of the acknowledgements. */
  readonly changes: string[] = [];
  calls = 0;
  renewals = 0;
  /** Longest time of a call, with all daemons that were tried, ms. */
  longestMs = 0;
  readonly #daemons: readonly DaemonProcess[];
  readonly #done: number[] = [];
  readonly #over: Promise<unknown>;
  #phase = 0;
  #isOver = false;
  #failure: unknown;

  /** @param daemons with the present processes; the caller replaces them. */
  constructor(daemons: readonly DaemonProcess[], callers: readonly Caller[]) {
    this.#daemons = daemons;
    const works = callers.map((caller) => this.#device(caller));
    works.push(this.#operator(callers[0]!.paired.device.identity.id));
    this.#over = Promise.all(works.map((work, index) => this.#repeat(work, index)));
  }

  /** Everybody has done something from beginning to end since the call, and every device has renewed. */
  async moved(): Promise<void> {
    this.#phase += 1;
    const before = [...this.#done];
    await until('everybody has gone on', () => {
      if (this.#failure) throw this.#failure;
      return this.#done.every((done, index) => done > before[index]! + 1);
    });
  }

  /** @throws what was refused. */
  async stop(): Promise<void> {
    await this.end();
    if (this.#failure) throw this.#failure;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#over;
  }

  async #repeat(work: (step: number) => Promise<void>, index: number): Promise<void> {
    this.#done[index] = 0;
    try {
      while (!this.#isOver) {
        await work(this.#done[index]);
        this.#done[index] += 1;
        await sleep(pauseMs);
      }
    } catch (error) {
      this.#failure ??= error;
    }
  }

  #device({ paired, transport }: Caller): (step: number) => Promise<void> {
    const { device } = paired;
    let { enrollment } = paired;
    let renewedIn = 0;
    return async (step) => {
      await this.#somewhere(step, async (daemon) => {
        const connection = await dial(daemon, transport, enrollment);
        try {
          const node = createClient(NodeService, connection.transport);
          await node.status({});
          const phase = this.#phase;
          if (renewedIn === phase) return;
          enrollment = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
          renewedIn = phase;
          this.renewals += 1;
        } finally {
          connection.close();
        }
      });
      this.calls += 1;
    };
  }

  #operator(id: string): (step: number) => Promise<void> {
    return async (step) => {
      const name = `change ${step}`;
      await this.#somewhere(step, async (daemon) => (await daemon.admin()).renameDevice({ id, name }));
      this.changes.push(name);
    };
  }

  /** Each daemon is tried once. */
  async #somewhere(first: number, work: (daemon: DaemonProcess) => Promise<unknown>): Promise<void> {
    const startedAt = performance.now();
    const refusals: unknown[] = [];
    for (const index of this.#daemons.keys()) {
      const daemon = this.#daemons[(first + index) % this.#daemons.length]!;
      try {
        await work(daemon);
        this.longestMs = Math.max(this.longestMs, performance.now() - startedAt);
        return;
      } catch (error) {
        const refusal = fromConnectError(error);
        if (refusal.code !== 'UNREACHABLE') throw refusal;
        refusals.push(refusal);
      }
    }
    throw new AggregateError(refusals, 'no daemon answered');
  }
}
