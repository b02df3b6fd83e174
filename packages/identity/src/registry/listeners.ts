// Calls the listeners of a change after its commit. Enforcing listeners run first, for every change of the commit, so
// that a failing observer cannot leave a revoked connection open. No listener can prevent another from being called.

import type { EventOrigin, RegistryEvent, RegistryListener } from './port.ts';

/** Gets the errors of listeners, so that none is lost. */
export type ListenerErrors = (error: unknown, where: string) => void;

export class RegistryListeners {
  readonly #onError: ListenerErrors;
  readonly #enforcing = new Set<RegistryListener>();
  readonly #observing = new Set<RegistryListener>();

  /** @param onError default: throws the error as an uncaught exception, like an EventTarget. */
  constructor(onError: ListenerErrors = throwLater) {
    this.#onError = onError;
  }

  enforce(listener: RegistryListener): () => void {
    return add(this.#enforcing, listener);
  }

  observe(listener: RegistryListener): () => void {
    return add(this.#observing, listener);
  }

  tell(events: readonly RegistryEvent[], origin: EventOrigin = 'here'): void {
    for (const [listeners, where] of [
      [this.#enforcing, 'enforcing a change'],
      [this.#observing, 'reporting a change'],
    ] as const) {
      for (const event of events)
        for (const listener of listeners) this.#call(listener, event, origin, where);
    }
  }

  #call(listener: RegistryListener, event: RegistryEvent, origin: EventOrigin, where: string): void {
    try {
      // The type also accepts an async function, whose failure would end the process.
      const result: unknown = listener(event, origin);
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

/** Wraps the function, so that one added twice is called twice, and each end removes one. */
function add(listeners: Set<RegistryListener>, listener: RegistryListener): () => void {
  const entry: RegistryListener = (event, origin) => listener(event, origin);
  listeners.add(entry);
  return () => void listeners.delete(entry);
}

function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
