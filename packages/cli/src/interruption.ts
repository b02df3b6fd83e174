// Ctrl-C: the run ends at once, even if some work cannot be cancelled.

/** Settles like the work, or rejects with the reason of an interruption, whichever comes first. */
export async function untilInterrupted<T>(interrupted: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const interrupt = () => reject(interrupted.reason);
  if (interrupted.aborted) interrupt();
  interrupted.addEventListener('abort', interrupt);
  try {
    return await Promise.race([work, promise]);
  } finally {
    interrupted.removeEventListener('abort', interrupt);
  }
}

/** Resolves after the time, or at once when the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
