// The choice between the library's two drivers, and the name of the protocol.

/** `fast` is io_uring on Linux and fails where the kernel or a container forbids it; `portable` runs everywhere. */
export type QuicheRuntime = 'fast' | 'portable';

/** docs/quic.md. A change that an old peer would misread requires a new number. */
export const alpn = 'palyra/1';

export function runtimeOptions(runtime: QuicheRuntime) {
  return { runtimeMode: runtime, fallbackPolicy: 'error' } as const;
}
