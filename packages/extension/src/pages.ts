// The popup and the options page, as the worker sees them: each shows the view, and may send commands.

import { problemOf } from './next-step.ts';
import type { Asked, Command, Said, View } from './view.ts';

export class Pages {
  readonly #ports = new Set<chrome.runtime.Port>();
  readonly #view: () => View;
  readonly #run: (command: Command) => Promise<void>;

  constructor(view: () => View, run: (command: Command) => Promise<void>) {
    this.#view = view;
    this.#run = run;
  }

  add(port: chrome.runtime.Port): void {
    // Only pages of this extension get here; a page of the web has no such port.
    const { id, url } = port.sender ?? {};
    if (id !== chrome.runtime.id || !url?.startsWith(`${location.origin}/`)) {
      port.disconnect();
      return;
    }
    this.#ports.add(port);
    port.onDisconnect.addListener(() => this.#ports.delete(port));
    port.onMessage.addListener((asked: Asked) => void this.#answer(port, asked));
    say(port, { view: this.#view() });
  }

  show(): void {
    const view = this.#view();
    for (const port of this.#ports) say(port, { view });
  }

  async #answer(port: chrome.runtime.Port, { id, command }: Asked): Promise<void> {
    const problem = await this.#run(command).then(() => undefined, problemOf);
    if (this.#ports.has(port)) say(port, { answers: id, problem });
  }
}

const say = (port: chrome.runtime.Port, said: Said) => port.postMessage(said);
