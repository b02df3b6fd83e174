// Makes the pages and workers of one origin take turns.

interface LockManager {
  request<T>(name: string, options: { readonly signal?: AbortSignal }, work: () => Promise<T>): Promise<T>;
}

/**
 * Runs the work while no other page or worker of this origin runs work of this name. In a browser without Web Locks,
 * two pages may run at the same time.
 * @param signal ends the wait for the others, with its reason.
 */
export function exclusively<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
  return locks ? locks.request(`palyra ${name}`, signal ? { signal } : {}, work) : work();
}
