// The key of one direction and the number of its next message (Noise revision 34, section 5.1).

import { type Aead, type Awaitable, type ChannelCrypto, keyBytes } from './crypto.ts';

/** Messages under one key. Both sides count them, so replacing a key needs no message. docs/channel.md 4. */
export const messagesPerKey = 16_384;

const nothing = new Uint8Array();
/** The nonce reserved for replacing the key. */
const rekeyNonce = 2n ** 64n - 1n;

export class CipherState {
  readonly #crypto: ChannelCrypto;
  readonly #messagesPerKey: number;
  #aead: Awaitable<Aead>;
  #next = 0;

  /** @param perKey messages after which the key is replaced. */
  constructor(key: Uint8Array, crypto: ChannelCrypto, perKey = Number.POSITIVE_INFINITY) {
    this.#crypto = crypto;
    this.#messagesPerKey = perKey;
    this.#aead = crypto.importAead(key);
  }

  /** Numbers messages in the order of the calls, even if they finish in another order. */
  seal(associatedData: Uint8Array, plaintext: Uint8Array): Awaitable<Uint8Array> {
    const [aead, nonce] = this.#take();
    return then(aead, ({ seal }) => seal(nonce, associatedData, plaintext));
  }

  /** @throws for any message but the next one. The state must not be used again after that. */
  open(associatedData: Uint8Array, sealed: Uint8Array): Awaitable<Uint8Array> {
    const [aead, nonce] = this.#take();
    return then(aead, ({ open }) => open(nonce, associatedData, sealed));
  }

  #take(): [aead: Awaitable<Aead>, nonce: Uint8Array] {
    if (this.#next > 0 && this.#next % this.#messagesPerKey === 0) this.#rekey();
    const nonce = nonceOf(BigInt(this.#next));
    this.#next += 1;
    return [this.#aead, nonce];
  }

  /** Section 4.2, REKEY. Does not reset the message number (section 11.3). */
  #rekey(): void {
    const sealed = then(this.#aead, ({ seal }) =>
      seal(nonceOf(rekeyNonce), nothing, new Uint8Array(keyBytes)),
    );
    this.#aead = then(sealed, (bytes) => this.#crypto.importAead(bytes.subarray(0, keyBytes)));
  }
}

/** Chains without a promise if `value` is not one. */
function then<T, R>(value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Section 12.4: 32 bits of zero, then the number, big-endian. */
function nonceOf(number: bigint): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, number);
  return nonce;
}
