// What the daemon asks the device to run: capabilities that work, and answers that the daemon has not taken yet. Both outlive a
// connection.

import { setTimeout as sleep } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { IdentityErrorCode } from '@palyra/identity';
import { IdentityError } from '@palyra/identity/device';
import { type DaemonEvent, type DeviceEvent, DeviceEventSchema } from '@palyra/rpc';
import { capabilityFailures } from '@palyra/rpc/admin';
import { runCapability } from './capability.ts';
import { MessageQueue } from './message-queue.ts';
import type { AgentOptions } from './options.ts';

/** How long what runs may take to end with the agent, ms: programs are killed before that. */
const stopMs = 3_000;
/** Capabilities that work, and answers that the daemon has not taken. */
const maxCalls = 1024;
const tooManyCalls = new IdentityError(
  'TOO_MANY_REQUESTS',
  `The daemon asked for more than ${maxCalls} calls before it took their answers.`,
);

type Result = Extract<MessageInitShape<typeof DeviceEventSchema>['event'], { case: 'result' }>;

export class CapabilityRuns {
  readonly #options: Pick<AgentOptions, 'capabilities' | 'onCall'>;
  readonly #running = new Map<string, AbortController>();
  /** Capability programs still running, including those whose call has ended. */
  readonly #working = new Set<Promise<unknown>>();
  readonly #unsettled = new Map<string, Result>();
  /** Of the connection of the moment. */
  #outgoing = new MessageQueue<DeviceEvent>();

  constructor(options: Pick<AgentOptions, 'capabilities' | 'onCall'>) {
    this.#options = options;
  }

  /** Answers go out over a new connection from now on, those that the daemon has not taken first. */
  sendOver(outgoing: MessageQueue<DeviceEvent>): void {
    this.#outgoing = outgoing;
    for (const result of this.#unsettled.values()) outgoing.push(deviceEvent(result));
  }

  /** Ends what runs for the daemon, and waits until it has. */
  async stop(): Promise<void> {
    for (const controller of this.#running.values()) controller.abort();
    await Promise.race([Promise.allSettled(this.#working), sleep(stopMs, undefined, { ref: false })]);
  }

  /** Does what the daemon asks. @throws TOO_MANY_REQUESTS when it asks for more than it takes answers. */
  take(event: DaemonEvent['event']): void {
    switch (event.case) {
      case 'execute':
        // Sent again after a reconnect, though it runs or has run here.
        if (this.#running.has(event.value.callId) || this.#unsettled.has(event.value.callId)) return;
        // By the work: it may go on after its call has timed out, and been settled.
        if (this.#working.size + this.#unsettled.size >= maxCalls) throw tooManyCalls;
        void this.#execute(event.value);
        return;
      case 'cancel':
        this.#running.get(event.value.callId)?.abort();
        return;
      case 'settled':
        this.#unsettled.delete(event.value.callId);
        return;
      case 'probe':
        // A daemon that asks and never reads does not fill the memory.
        if (this.#outgoing.size <= maxCalls) this.#outgoing.push(deviceEvent({ case: 'alive', value: {} }));
        return;
    }
  }

  async #execute(call: {
    callId: string;
    capability: string;
    input: Uint8Array;
    timeoutMs: number;
  }): Promise<void> {
    const { callId, capability } = call;
    const controller = new AbortController();
    this.#running.set(callId, controller);
    let result: Result;
    let outcome: 'ok' | IdentityErrorCode = 'ok';
    try {
      const output = await runCapability(
        this.#options.capabilities,
        capability,
        call.input,
        call.timeoutMs,
        controller.signal,
        this.#working,
      );
      result = { case: 'result', value: { callId, outcome: { case: 'output', value: output } } };
    } catch (error) {
      const { code, message } = error as IdentityError;
      const failure = capabilityFailures.toWire(capabilityFailures.has(code) ? code : 'CAPABILITY_FAILED');
      result = { case: 'result', value: { callId, outcome: { case: 'error', value: { failure, message } } } };
      outcome = code;
    }
    this.#running.delete(callId);
    this.#unsettled.set(callId, result);
    this.#outgoing.push(deviceEvent(result));
    this.#options.onCall?.(capability, outcome);
  }
}

export function deviceEvent(
  event: NonNullable<MessageInitShape<typeof DeviceEventSchema>['event']>,
): DeviceEvent {
  return create(DeviceEventSchema, { event });
}
