// The unanswered calls of a device, and the events that its agent may not have received yet.

import { randomBytes } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { makeUlid, printable } from '@palyra/identity/values';
import { type CapabilityResult, type DaemonEvent, DaemonEventSchema } from '@palyra/rpc';
import { CapabilityFailure, capabilityFailures } from '@palyra/rpc/admin';
import type { CapabilityRun } from './capability-rules.ts';
import type { Channel } from './channel.ts';

export interface ExecuteRequest extends CapabilityRun {
  readonly input: Uint8Array;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface ExecuteResult {
  readonly output: Uint8Array;
  readonly elapsedMs: number;
  readonly reconnects: number;
}

interface Call {
  readonly id: string;
  settle(outcome: Uint8Array | IdentityError): void;
}

/** The state of one device: its agent, the events that this agent may not have received, and its unanswered calls. */
export interface Device {
  agentId: string;
  nextSeq: number;
  outbox: DaemonEvent[];
  readonly calls: Map<string, Call>;
  /** Number of channels so far. */
  connections: number;
  channel: Channel | undefined;
  /** Runs while there is no channel, and fails the waiting calls at the end. */
  absence: NodeJS.Timeout | undefined;
}

/** @param onSettled called at the end of the call, whatever its outcome. */
export function runCall(
  device: Device,
  request: ExecuteRequest,
  options: { readonly timeoutMs: number; readonly now: Date; readonly onSettled: () => void },
): Promise<Uint8Array> {
  const { timeoutMs, now, onSettled } = options;
  const callId = makeUlid(now, randomBytes(10));
  return new Promise((resolve, reject) => {
    const giveUp = (code: IdentityErrorCode, message: string) => {
      call.settle(new IdentityError(code, message));
      device.channel?.push({ case: 'cancel', value: { callId } });
    };
    const cancel = () => giveUp('CAPABILITY_CANCELED', 'The caller ended the call.');
    const timer = setTimeout(
      () => giveUp('CAPABILITY_TIMEOUT', `The device did not answer within ${timeoutMs} ms.`),
      timeoutMs,
    );
    const call: Call = {
      id: callId,
      settle: (outcome) => {
        clearTimeout(timer);
        request.signal.removeEventListener('abort', cancel);
        device.calls.delete(callId);
        device.outbox = device.outbox.filter((event) => event.event.value !== execute);
        if (outcome instanceof IdentityError) reject(outcome);
        else resolve(outcome);
        onSettled();
      },
    };
    const event = create(DaemonEventSchema, {
      seq: BigInt(device.nextSeq),
      event: {
        case: 'execute',
        value: { callId, capability: request.capability, input: request.input, timeoutMs },
      },
    });
    const execute = event.event.value;
    device.nextSeq += 1;
    device.calls.set(callId, call);
    device.outbox.push(event);
    device.channel?.notify();
    request.signal.addEventListener('abort', cancel);
    if (request.signal.aborted) cancel();
  });
}

export function failCalls(device: Device, code: IdentityErrorCode, message: string): void {
  for (const call of [...device.calls.values()]) call.settle(new IdentityError(code, message));
}

export function endIdle({ calls, channel }: Device): void {
  if (calls.size === 0) channel?.end();
}

/** The device's answer, or the reason why it is not one. */
export function outcomeOf(
  outcome: CapabilityResult['outcome'],
  payloadBytes: number,
): Uint8Array | IdentityError {
  if (outcome.case === 'output') {
    if (outcome.value.length <= payloadBytes) return outcome.value;
    return new IdentityError(
      'CAPABILITY_OUTPUT_TOO_LARGE',
      `The output is larger than ${payloadBytes} bytes.`,
    );
  }
  const { failure = CapabilityFailure.FAILED } = outcome.value ?? {};
  const code = capabilityFailures.fromWire(failure) ?? 'CAPABILITY_FAILED';
  return new IdentityError(code, shown(outcome.value?.message ?? 'The device returned no result.', 500));
}

/** Text of a device, made safe for an operator's terminal. */
export const shown = (text: string, maxLength = 200): string => printable(text.slice(0, maxLength));
