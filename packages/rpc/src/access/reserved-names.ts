// The names that programs which embed the daemon cannot use.

/** Whether the name of a service or method is reserved for the daemon, now or later. */
export const isOurs = (name: string): boolean => /^(?:palyra|grpc)\./.test(name);
