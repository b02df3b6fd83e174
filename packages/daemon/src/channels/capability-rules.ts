// Decides who may run which capability on which device. Without a rule, every operator may run every capability. With rules, a
// run is refused unless some rule allows it. Rules allow and never forbid, so losing a label removes rights
// and never adds any.

import { IdentityError } from '@palyra/identity';
import { type Actor, hasLabels, type RegistryReads } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';

export interface CapabilityRule {
  /** Names of capabilities; `system.*` means every name with that beginning, `*` means all. */
  readonly run: readonly string[];
  /** `local`: at the admin socket or in the console. `operator`: from a device with the operator role. Default: both. */
  readonly role?: 'local' | 'operator' | undefined;
  /** The calling device must have all of them. Only with the role `operator`. */
  readonly callerLabels?: readonly string[] | undefined;
  /** The device on which the capability runs must have all of them. */
  readonly deviceLabels?: readonly string[] | undefined;
}

export interface CapabilityRun {
  readonly by: Actor;
  readonly deviceId: DeviceId;
  readonly capability: string;
}

export class CapabilityRules {
  readonly #rules: readonly CapabilityRule[];
  readonly #registry: Pick<RegistryReads, 'device'>;

  constructor(rules: readonly CapabilityRule[], registry: Pick<RegistryReads, 'device'>) {
    this.#rules = rules;
    this.#registry = registry;
  }

  /** Reads the current labels. @throws CAPABILITY_NOT_ALLOWED */
  async mustAllow({ by, deviceId, capability }: CapabilityRun): Promise<void> {
    if (this.#rules.length === 0) return;
    const none = { labels: [] };
    const caller = by.kind === 'device' ? await this.#registry.device(by.deviceId) : undefined;
    const device = await this.#registry.device(deviceId);
    const role = by.kind === 'local' ? 'local' : 'operator';
    const isAllowed = this.#rules.some(
      (rule) =>
        rule.run.some((pattern) => matches(pattern, capability)) &&
        (rule.role === undefined || rule.role === role) &&
        hasLabels(caller ?? none, rule.callerLabels ?? []) &&
        hasLabels(device ?? none, rule.deviceLabels ?? []),
    );
    if (isAllowed) return;
    throw new IdentityError(
      'CAPABILITY_NOT_ALLOWED',
      `No rule in the daemon's configuration lets ${role === 'local' ? "the daemon's own machine" : 'this device'} run "${capability}" on device ${deviceId}.`,
      { deviceId },
    );
  }
}

function matches(pattern: string, capability: string): boolean {
  return pattern.endsWith('*') ? capability.startsWith(pattern.slice(0, -1)) : pattern === capability;
}
