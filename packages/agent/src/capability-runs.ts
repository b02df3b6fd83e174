// The capabilities that run for the daemon, and the results that it has not taken yet. Both outlive a connection.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity/portable';
import {
  capabilityFailures,
  type DaemonEvent,
  type DeviceEvent,
  DeviceEventSchema,
} from '@palyra/rpc/portable';
import { runCapability } from './capability.ts';
import { MessageQueue } from './message-queue.ts';
import type { AgentOptions } from './options.ts';

/** Longest wait for running capabilities when the agent ends, ms. Programs are killed earlier. */
const stopMs = 3_000;
/** Most running capabilities and results not yet taken. */
const maxCalls = 1024;
const tooManyCalls = new IdentityError(
  'TOO_MANY_REQUESTS',
  `The daemon made more than ${maxCalls} calls without taking their results.`,
);

type Result = Extract<MessageInitShape<typeof DeviceEventSchema>['event'], { case: 'result' }>;

export class CapabilityRuns {
  readonly #options: Pick<AgentOptions, 'capabilities' | 'onCall'>;
  readonly #running = new Map<string, AbortController>();
  /** Capability programs still running, including those whose call has ended. */
  readonly #working = new Set<Promise<unknown>>();
  readonly #unsettled = new Map<string, Result>();
  /** The queue of the present connection. */
  #outgoing = new MessageQueue<DeviceEvent>();

  constructor(options: Pick<AgentOptions, 'capabilities' | 'onCall'>) {
    this.#options = options;
  }

  /** Sends results over a new connection from now on, starting with those that the daemon has not acknowledged. */
  sendOver(outgoing: MessageQueue<DeviceEvent>): void {
    this.#outgoing = outgoing;
    for (const result of this.#unsettled.values()) outgoing.push(deviceEvent(result));
  }

  /** Ends all running capabilities, and waits for their end. */
  async stop(): Promise<void> {
    for (const controller of this.#running.values()) controller.abort();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, stopMs);
    await Promise.race([Promise.allSettled(this.#working), late]);
    clearTimeout(timer);
  }

  /** Runs a call of the daemon. @throws TOO_MANY_REQUESTS if the daemon does not take its results. */
  take(event: DaemonEvent['event']): void {
    switch (event.case) {
      case 'execute':
        // The daemon repeats a call after a reconnection, although it is running or has run here.
        if (this.#running.has(event.value.callId) || this.#unsettled.has(event.value.callId)) return;
        // Counts the work, which may continue after its call has timed out and was answered.
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
        // A daemon that calls and never reads must not fill the memory.
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
