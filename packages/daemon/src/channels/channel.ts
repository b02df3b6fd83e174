// One connection of a device's channel: the data still to send, and its end.

import { randomUUID } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Wakeup } from '@palyra/identity/values';
import { type DaemonEvent, DaemonEventSchema } from '@palyra/rpc';
import type { TransportWord } from '@palyra/rpc/admin';

export type Outgoing = NonNullable<MessageInitShape<typeof DaemonEventSchema>['event']>;

/** Most events waiting for a peer that does not read. */
const maxOwed = 1024;

/** Events for this connection only, which a reconnection need not repeat, and the wake-up of its generator. */
export class Channel {
  readonly transport: TransportWord;
  readonly quicProblem: string;
  /** The web origin, if the device is a browser. */
  readonly origin: string | undefined;
  /** Serial of the certificate of its connection. */
  readonly serial: string;
  /** Identifies this channel in a fleet. */
  readonly claim = randomUUID();
  ended = false;
  /** Ended because another connection of this device took over. */
  replaced = false;
  /** Ended because the device sent something invalid, or nothing in time. */
  failure: { readonly reason: unknown } | undefined;
  readonly #owed: DaemonEvent[] = [];
  #probe: PromiseWithResolvers<boolean> | undefined;
  readonly #wakeup = new Wakeup();

  constructor(about: Pick<Channel, 'transport' | 'quicProblem' | 'origin' | 'serial'>) {
    this.transport = about.transport;
    this.quicProblem = about.quicProblem;
    this.origin = about.origin;
    this.serial = about.serial;
  }

  push(event: Outgoing): void {
    // A peer that sends but never reads is disconnected.
    if (this.#owed.length >= maxOwed) this.end();
    else this.#owed.push(create(DaemonEventSchema, { event }));
    this.notify();
  }

  shift(): DaemonEvent | undefined {
    return this.#owed.shift();
  }

  fail(reason: unknown): void {
    if (!this.ended) this.failure = { reason };
    this.end();
  }

  end(): void {
    this.ended = true;
    this.#probe?.resolve(false);
    this.notify();
  }

  /** Asks the agent whether it is alive. Simultaneous callers share the answer. */
  async answers(withinMs: number): Promise<boolean> {
    if (this.#probe) return this.#probe.promise;
    const probe = Promise.withResolvers<boolean>();
    this.#probe = probe;
    this.push({ case: 'probe', value: {} });
    const timer = setTimeout(() => probe.resolve(false), withinMs);
    const answer = await probe.promise;
    clearTimeout(timer);
    this.#probe = undefined;
    return answer;
  }

  alive(): void {
    this.#probe?.resolve(true);
  }

  notify(): void {
    this.#wakeup.wake();
  }

  changed(): Promise<void> {
    return this.#wakeup.sleep();
  }
}
