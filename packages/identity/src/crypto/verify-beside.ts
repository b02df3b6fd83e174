// Verifies signatures in Node's thread pool: a verification takes longer than everything else in the check of a call.

import { verify } from 'node:crypto';

/** Most signatures in the pool at one time. What waits for the disk uses the pool too, and must not wait behind a flood. */
const maxInPool = 16;

type PublicKey = Parameters<typeof verify>[2];

let inPool = 0;
const waiting: (() => void)[] = [];

/** As `verify` of node:crypto. @throws for a malformed key. */
export async function verifyBeside(
  algorithm: 'sha256' | null,
  data: Uint8Array,
  key: PublicKey,
  signature: Uint8Array,
): Promise<boolean> {
  // Whoever ends passes its place on.
  if (inPool >= maxInPool) await new Promise<void>((resolve) => waiting.push(resolve));
  else inPool += 1;
  try {
    return await new Promise<boolean>((resolve, reject) => {
      verify(algorithm, data, key, signature, (error, isValid) => (error ? reject(error) : resolve(isValid)));
    });
  } finally {
    const next = waiting.shift();
    if (next) next();
    else inPool -= 1;
  }
}
