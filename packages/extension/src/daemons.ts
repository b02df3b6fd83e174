// All daemons of this browser, and what the person asks to do with them.

import { BrowserDevice, type KnownDaemon } from '@palyra/browser';
import { Link } from './link.ts';
import { problemOf } from './next-step.ts';
import { dropEnd, dropSettings, rememberPaired, wasPaired } from './settings.ts';
import type { Command, Problem, View } from './view.ts';

export class Daemons {
  readonly #onChange: () => void;
  readonly #links = new Map<string, Link>();
  #opening: Promise<BrowserDevice> | undefined;
  #problem: Problem | undefined;
  #wasCleared = false;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get view(): View {
    return {
      origin: location.origin,
      ...(this.#problem && { problem: this.#problem }),
      wasCleared: this.#wasCleared,
      daemons: [...this.#links.values()].map((link) => link.view),
    };
  }

  /** Connects to every daemon there is a record of. */
  async start(): Promise<void> {
    try {
      const device = await this.#device();
      this.#problem = undefined;
      // A record of a request comes after that of an earlier pairing with the same daemon, and wins.
      const known = new Map((await device.daemons()).map((each) => [each.root, each]));
      this.#wasCleared = known.size === 0 && (await wasPaired());
      for (const each of known.values()) if (!this.#links.has(each.root)) this.#run(device, each);
    } catch (error) {
      this.#problem = problemOf(error);
    }
    this.#onChange();
  }

  /** After this machine slept. */
  reconnect(): void {
    for (const link of this.#links.values()) link.reconnect();
  }

  /** The person may have taken a permission back in the browser's settings. */
  async checkPermissions(): Promise<void> {
    for (const link of this.#links.values()) await link.checkPermissions();
  }

  /** @throws what the daemon answers. */
  async do(command: Command): Promise<void> {
    switch (command.do) {
      case 'pair':
        return this.#pair(command);
      case 'forget':
        return this.#forget(command.root);
      case 'retry':
        await dropEnd(command.root);
        return this.#restart(command.root);
      case 'switch':
        return this.#link(command.root).change(command.name, command.isOn);
      case 'approve':
        return this.#link(command.root).approve(command.id, command);
      case 'reject':
        return this.#link(command.root).reject(command.id);
      case 'clipboard':
        return this.#link(command.root).answerClipboard(command.id, command.text);
    }
  }

  /** Returns when there are words to compare. The link then waits for the operator. */
  async #pair({ address, code, name, newIdentity }: Command & { do: 'pair' }): Promise<void> {
    const device = await this.#device();
    const asked = new AbortController();
    let words = '';
    const onWords = (shown: string) => {
      words = shown;
      asked.abort();
    };
    let known: KnownDaemon | undefined;
    try {
      known = await device.pair({ address, code, name, newIdentity, onWords, signal: asked.signal });
    } catch (error) {
      if (words === '') throw error;
      known = (await device.daemons()).find((each) => each.words === words);
    }
    if (!known) return;
    this.#links.get(known.root)?.stop();
    await dropSettings(known.root);
    await rememberPaired(true);
    this.#wasCleared = false;
    this.#run(device, known);
    this.#onChange();
  }

  async #forget(root: string): Promise<void> {
    const device = await this.#device();
    this.#links.get(root)?.stop();
    this.#links.delete(root);
    await device.forget(root);
    await dropSettings(root);
    if (this.#links.size === 0) await rememberPaired(false);
    this.#onChange();
  }

  async #restart(root: string): Promise<void> {
    this.#links.get(root)?.stop();
    this.#links.delete(root);
    await this.start();
  }

  #run(device: BrowserDevice, known: KnownDaemon): void {
    const link = new Link(device, known, this.#onChange);
    this.#links.set(known.root, link);
    void link.run();
  }

  #link(root: string): Link {
    const link = this.#links.get(root);
    if (!link) throw new Error('This browser does not know that daemon.');
    return link;
  }

  #device(): Promise<BrowserDevice> {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<BrowserDevice> {
    const device = await BrowserDevice.open();
    void device.lost.then(() => {
      // The person has cleared the data of this profile.
      for (const link of this.#links.values()) link.stop();
      this.#links.clear();
      this.#opening = undefined;
      return this.start();
    });
    return device;
  }
}
