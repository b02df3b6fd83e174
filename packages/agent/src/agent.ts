// The device's agent: keeps the standing channel to the daemon, reconnects after every interruption, and runs
// capabilities for the daemon. It ends only on request, or if the daemon answers that a retry cannot help.

import { final, recoverable } from '@palyra/identity/device-portable';
import { IdentityError } from '@palyra/identity/portable';
import { fromConnectError } from '@palyra/rpc/portable';
import { CapabilityRuns } from './capability-runs.ts';
import { AgentCertificate, maxRetryAfterMs } from './certificate.ts';
import type { AgentOptions } from './options.ts';
import { renewed, Session } from './session.ts';

/** How often a wait is doubled. */
const maxDoublings = 6;
/** A recovery counts as useless if its certificate is refused within this time, ms. */
const recoveryHoldsMs = 10 * 60_000;

/**
 * Runs until `signal` is aborted.
 * @throws the daemon's final answer: DEVICE_REVOKED, DEVICE_NOT_FOUND, PROOF_WRONG, CALLER_NOT_ALLOWED,
 *   CHANNEL_REPLACED, CHANNEL_IN_USE.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const runs = new CapabilityRuns(options);
  try {
    const certificate = new AgentCertificate(options);
    await serveUntilEnd(new Session(options, certificate, runs), certificate, options);
  } finally {
    await runs.stop();
  }
}

async function serveUntilEnd(
  session: Session,
  certificate: AgentCertificate,
  options: AgentOptions,
): Promise<void> {
  const { signal, onState = () => {} } = options;
  let recovered = Number.NEGATIVE_INFINITY;
  /** Useless recoveries in a row. */
  let lost = 0;
  let hasPaused = false;
  for (let failures = 0; !signal.aborted; ) {
    onState({ state: 'connecting' });
    let connected = false;
    try {
      await session.serve(() => {
        connected = true;
      });
      throw new IdentityError('UNREACHABLE', 'The daemon ended the connection.');
    } catch (cause) {
      if (signal.aborted) break;
      let error = fromConnectError(cause);
      if (final.has(error.code)) throw error;
      if (error === renewed) continue;
      if (recoverable.has(error.code)) {
        // A renewal by another process on this machine is not a sign of a copy.
        if (await certificate.adoptStored().catch(() => false)) continue;
        const isByOperator = error.code === 'CERTIFICATE_REVOKED';
        if (!isByOperator && !hasPaused && performance.now() - recovered < recoveryHoldsMs) {
          // A copy may do the same. Without a pause, the two would replace each other's certificates for ever.
          lost += 1;
          hasPaused = true;
          const pauseMs = (options.retryMs ?? 500) * 2 ** (maxDoublings + lost);
          const retryInMs = jitter(Math.min(pauseMs, maxRetryAfterMs));
          onState({
            state: 'disconnected',
            error: refusedAfterRecovery(error, options.device.identity.id),
            retryInMs,
          });
          await pause(retryInMs, signal);
          continue;
        }
        if (!hasPaused) lost = 0;
        const problem = await certificate.recover();
        if (signal.aborted) break;
        if (!problem) {
          recovered = performance.now();
          hasPaused = false;
          continue;
        }
        if (final.has(problem.code)) throw problem;
        error = problem;
      }
      failures = connected ? 0 : Math.min(failures + 1, maxDoublings);
      const retryInMs = certificate.wait(error) ?? jitter((options.retryMs ?? 500) * 2 ** failures);
      onState({ state: 'disconnected', error, retryInMs });
      await pause(retryInMs, signal);
    }
  }
}

function refusedAfterRecovery({ code, message }: IdentityError, deviceId: string): IdentityError {
  return new IdentityError(
    code,
    `${message} The certificate had just been recovered, so another machine may have the keys of this device.`,
    { about: 'recovery', deviceId },
  );
}

/** A random wait between half of the time and all of it, so that a fleet does not reconnect at once. */
const jitter = (ms: number): number => Math.round(ms * (0.5 + Math.random() / 2));

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
