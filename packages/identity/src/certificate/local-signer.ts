// A key of the CA in this process. The secret store keeps it as a record.

import type { RunningSignature, Signer } from './signer.ts';
import { P256Key } from './tls-key.ts';

export class LocalSigner extends P256Key implements Signer {
  static generate(): LocalSigner {
    const { privateKey, publicKey } = P256Key.generateKey();
    return new LocalSigner(privateKey, publicKey);
  }

  /** @throws SECRET_CORRUPT */
  static fromPkcs8(der: Uint8Array): LocalSigner {
    return new LocalSigner(P256Key.readKey(der));
  }

  sign(data: Uint8Array): Uint8Array {
    return this.signDer(data);
  }

  startSigning(): RunningSignature {
    return this.startDer();
  }
}
