// What pages of one origin do with a device one after the other.

interface LockManager {
  request<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/** Where the browser has no Web Locks, nothing keeps two pages apart. */
export function oneAtATime<T>(name: string, work: () => Promise<T>): Promise<T> {
  const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
  return locks ? locks.request(`palyra ${name}`, work) : work();
}
