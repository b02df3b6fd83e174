// Keys of the CA whose signatures wait for a test.

import { SecretStoreKeys } from '@palyra/identity/keys';

type Signer = Awaited<ReturnType<SecretStoreKeys['load']>>;

export class HeldKeys extends SecretStoreKeys {
  #gate: PromiseWithResolvers<void> | undefined;
  #asked: PromiseWithResolvers<void> | undefined;

  /** Makes signatures wait from now on. @returns a promise that resolves at the first request for one. */
  hold(): Promise<void> {
    this.#gate = Promise.withResolvers();
    this.#asked = Promise.withResolvers();
    return this.#asked.promise;
  }

  letGo(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  override async load(authority: Parameters<SecretStoreKeys['load']>[0]): Promise<Signer> {
    const signer = await super.load(authority);
    return {
      publicKey: signer.publicKey,
      startSigning: () => signer.startSigning(),
      sign: async (data) => {
        this.#asked?.resolve();
        await this.#gate?.promise;
        return signer.sign(data);
      },
    };
  }
}
