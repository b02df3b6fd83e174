// The one comparison of bytes, in constant time: nobody has to ask whether they are secret.

import { equalBytes } from '@noble/curves/utils.js';

/** Keys, fingerprints, confirmations. Takes as long for bytes that differ at once as for those that differ at the end. */
export const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => equalBytes(one, other);
