// Checks the audit of a running daemon from time to time, so that a change from outside is noticed without an operator.

import { IdentityError, type RegistryVerdict, verifyAudit } from '@palyra/identity';
import type { Registry } from '@palyra/identity/registry';
import type { Clock } from '@palyra/identity/values';

/** Time after the start until the first check, so that a start does nothing but start, ms. */
const firstAfterMs = 10 * 60_000;
/** Time between two checks, ms. */
const everyMs = 24 * 60 * 60_000;

export interface AuditWatchOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly onError: (error: unknown, where: string) => void;
  /** Default 10 minutes. */
  readonly firstAfterMs?: number;
}

export class AuditWatch {
  readonly #options: AuditWatchOptions;
  readonly #stop = new AbortController();
  /** By performance.now(): a clock that is set must not delay a check. */
  #dueMs: number;
  #running: Promise<unknown> | undefined;
  #last: { readonly at: Date; readonly isIntact: boolean; readonly problem: string } | undefined;

  constructor(options: AuditWatchOptions) {
    this.#options = options;
    this.#dueMs = performance.now() + (options.firstAfterMs ?? firstAfterMs);
  }

  /** The result of the last check. */
  get last(): { readonly at: Date; readonly isIntact: boolean } | undefined {
    return this.#last;
  }

  /** Why the audit cannot be relied on; undefined while nothing is known to be wrong. */
  get problem(): IdentityError | undefined {
    return this.#last && !this.#last.isIntact
      ? new IdentityError(
          'AUDIT_BROKEN',
          `The audit is broken: ${this.#last.problem}. Something other than the daemon changed the registry: compare it with a backup.`,
        )
      : undefined;
  }

  /** Checks now. */
  async check(): Promise<RegistryVerdict> {
    const { registry, clock, onError } = this.#options;
    this.#dueMs = performance.now() + everyMs;
    const verdict = await verifyAudit(registry, { signal: this.#stop.signal });
    const before = this.problem;
    this.#last = { at: clock.now(), isIntact: verdict.ok, problem: verdict.ok ? '' : verdict.problem };
    if (this.problem && !before) onError(this.problem, 'the check of the audit');
    return verdict;
  }

  /** Starts a check if it is time. Does not wait for it. */
  checkIfDue(): void {
    if (this.#running || this.#stop.signal.aborted || performance.now() < this.#dueMs) return;
    this.#running = this.check()
      .catch((error) => {
        if (!this.#stop.signal.aborted) this.#options.onError(error, 'the check of the audit');
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Ends a check, and resolves when it no longer reads the registry. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
