// A page's connection to the worker, which the browser may end and start again at any time.

import type { Asked, Command, Problem, Said, View } from './view.ts';

const retryMs = 200;
const lost: Problem = {
  code: 'INTERNAL',
  message: 'The extension was restarted in between.',
  step: 'Try again.',
};

export class WorkerPort {
  readonly #onView: (view: View) => void;
  readonly #answers = new Map<number, (problem: Problem | undefined) => void>();
  #port!: chrome.runtime.Port;
  #lastId = 0;

  constructor(onView: (view: View) => void) {
    this.#onView = onView;
    this.#connect();
  }

  /** @returns why it failed, if it did. */
  ask(command: Command): Promise<Problem | undefined> {
    this.#lastId += 1;
    const asked: Asked = { id: this.#lastId, command };
    return new Promise((resolve) => {
      this.#answers.set(asked.id, resolve);
      try {
        this.#port.postMessage(asked);
      } catch {
        this.#answers.delete(asked.id);
        resolve(lost);
      }
    });
  }

  #connect(): void {
    this.#port = chrome.runtime.connect();
    this.#port.onMessage.addListener((said: Said) => {
      if ('view' in said) return this.#onView(said.view);
      this.#answers.get(said.answers)?.(said.problem);
      this.#answers.delete(said.answers);
    });
    this.#port.onDisconnect.addListener(() => {
      for (const resolve of this.#answers.values()) resolve(lost);
      this.#answers.clear();
      setTimeout(() => this.#connect(), retryMs);
    });
  }
}
