// Capabilities, run on a connected device.

import { IdentityError } from '@palyra/identity';
import { parseDeviceName } from '@palyra/identity/pairing';
import { actorName } from '@palyra/identity/registry';
import { parseDeviceId } from '@palyra/identity/values';
import { actorOf } from '@palyra/rpc/transport';
import type { ExecuteRequest, ExecuteResult } from '../channels/calls.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

const defaultTimeoutMs = 30_000;

export function capabilityMethods(options: AdminServiceOptions): Methods<'executeCapability'> {
  return {
    async executeCapability({ deviceId, capability, input, timeoutMs }, context) {
      const request = {
        by: actorOf(context),
        deviceId: parseDeviceId(deviceId),
        capability: parseDeviceName(capability, 'A capability'),
        input: input.length > 0 ? input : new TextEncoder().encode('null'),
        timeoutMs: timeoutMs > 0 ? timeoutMs : defaultTimeoutMs,
        signal: context.signal,
      };
      return executeAudited(options, request);
    },
  };
}

/** The audit log records the actor, the capability, the device and the outcome, but never input or output. */
async function executeAudited(
  { identity, channels }: AdminServiceOptions,
  request: ExecuteRequest,
): Promise<ExecuteResult> {
  const { deviceId, capability } = request;
  const by = actorName(request.by);
  const record = (outcome: string) =>
    identity.registry.transact((tx) =>
      tx.appendAudit({
        at: identity.clock.now(),
        action: 'capability.executed',
        subject: deviceId,
        detail: { capability, outcome, by },
      }),
    );
  const result = await channels.execute(request).catch(async (error) => {
    const code = error instanceof IdentityError ? error.code : 'INTERNAL';
    if (!neverAsked.has(code)) await record(code);
    throw error;
  });
  // A failure here does not affect the result of the run.
  await record('OK');
  return result;
}

/** Outcomes of calls that did not reach the device. */
const neverAsked: ReadonlySet<string> = new Set(['DEVICE_NOT_CONNECTED', 'DEVICE_BUSY', 'MESSAGE_TOO_LARGE']);
