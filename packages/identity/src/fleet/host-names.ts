// DNS names that the operator lets a device have in its certificates, for programs that check names: browsers, curl, nginx.
// Such a program would take the device for whoever else has the name, so the daemon's own names are never among them.

import { isDnsName } from '../certificate/host-name.ts';
import { MAX_DEVICE_NAMES } from '../certificate/profile.ts';
import { IdentityError } from '../errors.ts';
import type { Device } from './device.ts';

export class HostNames {
  readonly #own: Set<string>;

  constructor(trustDomain: string) {
    this.#own = new Set([trustDomain, 'localhost']);
  }

  /** These are the daemon's as well from now on. */
  reserve(names: readonly string[]): void {
    for (const name of names) this.#own.add(name.toLowerCase());
  }

  /**
   * What an operator wrote, in lower case, each once, in alphabetical order.
   * @throws MESSAGE_INVALID for what is no DNS name, is the daemon's own, or too many.
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

  /** Those that go into a certificate: one that has become the daemon's own since does not. */
  of({ hostNames }: Pick<Device, 'hostNames'>): string[] {
    return hostNames.filter((name) => !this.#own.has(name));
  }
}
