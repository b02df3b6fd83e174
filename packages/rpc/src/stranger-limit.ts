// Connections that are no device's, or not yet: what one source may have of them, so that it cannot take them all.

import type { Socket } from 'node:net';
import { sourceKey } from './source-key.ts';

export class StrangerLimit {
  readonly #perSource: number;
  /** The ports that a source's strangers come from. */
  readonly #sources = new Map<string, Set<number>>();

  constructor(perSource: number) {
    this.#perSource = perSource;
  }

  /** @returns whether there is room. It is a stranger until it is known or gone. */
  add({ remoteAddress = '', remotePort = 0 }: Socket): boolean {
    const source = sourceKey(remoteAddress);
    const ports = this.#sources.get(source) ?? new Set();
    if (ports.size >= this.#perSource) return false;
    this.#sources.set(source, ports.add(remotePort));
    return true;
  }

  /** Takes the address as it was: a socket that has closed does not tell it any more. */
  remove(remoteAddress = '', remotePort = 0): void {
    const source = sourceKey(remoteAddress);
    const ports = this.#sources.get(source);
    if (ports?.delete(remotePort) && ports.size === 0) this.#sources.delete(source);
  }
}
