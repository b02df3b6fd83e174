// Gives up a dial, without leaving a connection behind.

/** Closes a connection that arrives after the abort. @throws the signal's reason as soon as it is aborted. */
export async function dialled<C extends { close(): void }>(
  signal: AbortSignal,
  dialling: Promise<C>,
): Promise<C> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([dialling, promise]);
  } catch (error) {
    dialling.then(
      (late) => late.close(),
      () => {},
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
