// The only comparison of bytes. It runs in constant time, so that no caller has to ask whether the bytes are secret.

import { equalBytes } from '@noble/curves/utils.js';

/** Compares keys, fingerprints or confirmations. The time does not depend on where the bytes differ. */
export const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => equalBytes(one, other);
