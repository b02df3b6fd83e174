// A capability is a named function of the device: JSON in, JSON out, with limits on time and size.

import { IdentityError, reasonOf } from '@palyra/identity/portable';

export interface CapabilityCall {
  /** JSON text, UTF-8. */
  readonly input: Uint8Array;
  /** Ends the work, because the caller has left or the time is over. */
  readonly signal: AbortSignal;
}

/** @returns JSON text, UTF-8. */
export type Capability = (call: CapabilityCall) => Promise<Uint8Array>;

/** By name, such as `system.info`. */
export type Capabilities = ReadonlyMap<string, Capability>;

/** Largest output, bytes. */
export const MAX_OUTPUT_BYTES = 512 * 1024;

/**
 * Runs one call.
 * @param working holds the work of the capability while it runs, which may be longer than the call.
 * @throws CAPABILITY_UNKNOWN, CAPABILITY_FAILED, CAPABILITY_TIMEOUT, CAPABILITY_OUTPUT_TOO_LARGE
 */
export async function runCapability(
  capabilities: Capabilities,
  name: string,
  input: Uint8Array,
  timeoutMs: number,
  canceled: AbortSignal,
  working: Set<Promise<unknown>>,
): Promise<Uint8Array> {
  const capability = capabilities.get(name);
  if (!capability) {
    const known = [...capabilities.keys()].join(', ');
    throw new IdentityError(
      'CAPABILITY_UNKNOWN',
      `This device has no capability ${name}. Its capabilities: ${known}.`,
    );
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([timeout, canceled]);
  const work = outputOf(capability, { input, signal });
  working.add(work);
  const over = () => working.delete(work);
  work.then(over, over);
  const output = await Promise.race([work, aborted(signal)]).catch((cause) => {
    // A capability that ends with the call may reject first.
    if (timeout.aborted)
      throw new IdentityError('CAPABILITY_TIMEOUT', `It did not end within ${timeoutMs} ms.`, { cause });
    if (canceled.aborted)
      throw new IdentityError('CAPABILITY_CANCELED', 'The caller ended the call.', { cause });
    if (cause instanceof IdentityError) throw cause;
    throw new IdentityError('CAPABILITY_FAILED', `${name} failed: ${reasonOf(cause)}`, { cause });
  });
  if (output.length > MAX_OUTPUT_BYTES) {
    throw new IdentityError(
      'CAPABILITY_OUTPUT_TOO_LARGE',
      `${name} returned more than ${MAX_OUTPUT_BYTES} bytes.`,
    );
  }
  return output;
}

/** Code of an embedding program may also throw synchronously, or return something other than a promise of bytes. */
async function outputOf(capability: Capability, call: CapabilityCall): Promise<Uint8Array> {
  const output: unknown = await capability(call);
  if (!(output instanceof Uint8Array)) throw new TypeError('it did not return a Uint8Array');
  return output;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
