// Keys of the CA whose signatures wait until a test lets them go.

import { SecretStoreKeys } from '@palyra/identity/keys';

type Signer = Awaited<ReturnType<SecretStoreKeys['load']>>;

export class HeldKeys extends SecretStoreKeys {
  #gate: PromiseWithResolvers<void> | undefined;
  #asked: PromiseWithResolvers<void> | undefined;

  /** From now on signatures wait. @returns resolves when the first one is asked for. */
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
