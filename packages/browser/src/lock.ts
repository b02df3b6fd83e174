// Makes the pages of one origin take turns at work on a device.

interface LockManager {
  request<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/** In a browser without Web Locks, two pages may run at the same time. */
export function oneAtATime<T>(name: string, work: () => Promise<T>): Promise<T> {
  const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
  return locks ? locks.request(`palyra ${name}`, work) : work();
}
