// DNS names that the operator allows in a device's certificates, for programs that check names: browsers, curl, nginx.
// Such a program would mistake the device for any other owner of the name, so the daemon's own names are refused.

import { isDnsName } from '../certificate/host-name.ts';
import { MAX_DEVICE_NAMES } from '../certificate/profile.ts';
import { IdentityError } from '../errors.ts';
import type { Device } from './device.ts';

export class HostNames {
  readonly #own: Set<string>;

  constructor(trustDomain: string) {
    this.#own = new Set([trustDomain, 'localhost']);
  }

  /** Adds names to those of the daemon. */
  reserve(names: readonly string[]): void {
    for (const name of names) this.#own.add(name.toLowerCase());
  }

  /**
   * Parses an operator's names: in lower case, without duplicates, in alphabetical order.
   * @throws MESSAGE_INVALID for an invalid DNS name, a name of the daemon, or too many names.
   */
  parse(names: readonly string[]): string[] {
    const parsed = [...new Set(names.map((name) => name.toLowerCase()))].sort();
    if (parsed.length > MAX_DEVICE_NAMES) {
      throw new IdentityError('MESSAGE_INVALID', `A device has at most ${MAX_DEVICE_NAMES} host names.`);
    }
    for (const name of parsed) {
      if (!isDnsName(name)) {
        throw new IdentityError(
          'MESSAGE_INVALID',
          `"${name}" is not a DNS name. A host name has letters, digits, hyphens and dots, and no wildcard, address or port; write an international name as xn--...`,
        );
      }
      if (this.#own.has(name)) {
        throw new IdentityError(
          'MESSAGE_INVALID',
          `"${name}" is the daemon's own name. A device cannot have it.`,
        );
      }
    }
    return parsed;
  }

  /** The names for a certificate: without those that have since become the daemon's. */
  of({ hostNames }: Pick<Device, 'hostNames'>): string[] {
    return hostNames.filter((name) => !this.#own.has(name));
  }
}
