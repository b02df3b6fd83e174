// Who is told of a change after its commit. Those that enforce it come first, of every change that was committed together,
// so that no mistake of an observer leaves a revoked connection open. None keeps another from being told.

import type { RegistryEvent } from './port.ts';

export type RegistryListener = (event: RegistryEvent) => void;

/** Told what a listener threw, so that it is never lost. */
export type ListenerErrors = (error: unknown, where: string) => void;

export class RegistryListeners {
  readonly #onError: ListenerErrors;
  readonly #enforcing = new Set<RegistryListener>();
  readonly #observing = new Set<RegistryListener>();

  /** @param onError default: the error is thrown where nobody catches it, as an EventTarget does. */
  constructor(onError: ListenerErrors = throwLater) {
    this.#onError = onError;
  }

  enforce(listener: RegistryListener): () => void {
    return add(this.#enforcing, listener);
  }

  observe(listener: RegistryListener): () => void {
    return add(this.#observing, listener);
  }

  tell(events: readonly RegistryEvent[]): void {
    for (const [listeners, where] of [
      [this.#enforcing, 'enforcing a change'],
      [this.#observing, 'telling of a change'],
    ] as const) {
      for (const event of events) for (const listener of listeners) this.#call(listener, event, where);
    }
  }

  #call(listener: RegistryListener, event: RegistryEvent, where: string): void {
    try {
      // An async function fits the type, and its failure would end the process.
      const result: unknown = listener(event);
      if (result instanceof Promise) result.catch((error) => this.#report(error, where));
    } catch (error) {
      this.#report(error, where);
    }
  }

  #report(error: unknown, where: string): void {
    try {
      this.#onError(error, where);
    } catch (failure) {
      throwLater(failure);
    }
  }
}

/** Wrapped, so that a function added twice is told twice and each end ends one. */
function add(listeners: Set<RegistryListener>, listener: RegistryListener): () => void {
  const entry: RegistryListener = (event) => listener(event);
  listeners.add(entry);
  return () => void listeners.delete(entry);
}

function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
