// The handshake pattern XX of the Noise protocol framework (revision 34, sections 5.2, 5.3 and 7.5):
//
//   -> e
//   <- e, ee, s, es
//   -> s, se
//
// The caller defines the payloads. After `read` throws, the handshake must not be used again.

import { concat } from '@palyra/rpc/portable';
import { CipherState, messagesPerKey } from './cipher-state.ts';
import { type ChannelCrypto, hkdf, type KeyPair, keyBytes, tagBytes } from './crypto.ts';
import { webCrypto } from './web-crypto.ts';

export const protocolName = 'Noise_XX_25519_AESGCM_SHA256';
/** Section 3. */
export const maxNoiseBytes = 65_535;

type Token = 'e' | 's' | 'ee' | 'es' | 'se';
const pattern: readonly (readonly Token[])[] = [['e'], ['e', 'ee', 's', 'es'], ['s', 'se']];
const nothing = new Uint8Array();

export interface HandshakeOptions {
  readonly role: 'initiator' | 'responder';
  readonly prologue: Uint8Array;
  /** Default: a new key. */
  readonly staticKey?: KeyPair;
  /** For test vectors. Default: a new key. */
  readonly ephemeralKey?: KeyPair;
  /** Default: WebCrypto. */
  readonly crypto?: ChannelCrypto;
}

/** The result of the handshake on each side. */
export interface Agreed {
  readonly send: CipherState;
  readonly receive: CipherState;
  /** The handshake hash. Equal on both sides, and unique to this channel (section 11.2). 32 bytes. */
  readonly hash: Uint8Array;
}

export class Handshake {
  readonly #crypto: ChannelCrypto;
  readonly #isInitiator: boolean;
  readonly #staticKey: KeyPair;
  readonly #ephemeralKey: KeyPair;
  readonly #symmetric: SymmetricState;
  #remoteStatic: Uint8Array | undefined;
  #remoteEphemeral: Uint8Array | undefined;
  #step = 0;

  static async start(options: HandshakeOptions): Promise<Handshake> {
    const { crypto = webCrypto } = options;
    const staticKey = options.staticKey ?? (await crypto.generateKeyPair());
    const ephemeralKey = options.ephemeralKey ?? (await crypto.generateKeyPair());
    const symmetric = new SymmetricState(crypto);
    await symmetric.mixHash(options.prologue);
    return new Handshake(crypto, options.role === 'initiator', staticKey, ephemeralKey, symmetric);
  }

  private constructor(
    crypto: ChannelCrypto,
    isInitiator: boolean,
    staticKey: KeyPair,
    ephemeralKey: KeyPair,
    symmetric: SymmetricState,
  ) {
    this.#crypto = crypto;
    this.#isInitiator = isInitiator;
    this.#staticKey = staticKey;
    this.#ephemeralKey = ephemeralKey;
    this.#symmetric = symmetric;
  }

  /** 32 bytes. */
  get staticKey(): Uint8Array {
    return this.#staticKey.publicKey;
  }

  /** The other side's static key. Undefined until a message has delivered it. */
  get remoteStaticKey(): Uint8Array | undefined {
    return this.#remoteStatic;
  }

  async write(payload: Uint8Array): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (const token of this.#tokens(true)) {
      if (token === 'e') {
        parts.push(this.#ephemeralKey.publicKey);
        await this.#symmetric.mixHash(this.#ephemeralKey.publicKey);
      } else if (token === 's') {
        parts.push(await this.#symmetric.sealAndHash(this.#staticKey.publicKey));
      } else await this.#mix(token);
    }
    parts.push(await this.#symmetric.sealAndHash(payload));
    return concat(parts);
  }

  /** @returns the payload. @throws for any message but the next one. */
  async read(message: Uint8Array): Promise<Uint8Array> {
    if (message.length > maxNoiseBytes) throw new RangeError('a message of more than 65535 bytes');
    let at = 0;
    const take = (size: number) => {
      if (message.length < at + size) throw new RangeError('a truncated message');
      at += size;
      return message.slice(at - size, at);
    };
    for (const token of this.#tokens(false)) {
      if (token === 'e') {
        this.#remoteEphemeral = take(keyBytes);
        await this.#symmetric.mixHash(this.#remoteEphemeral);
      } else if (token === 's') {
        this.#remoteStatic = await this.#symmetric.openAndHash(take(keyBytes + tagBytes));
      } else await this.#mix(token);
    }
    return this.#symmetric.openAndHash(message.slice(at));
  }

  /** Returns the keys. Call it after the third message. */
  async finish(): Promise<Agreed> {
    if (this.#step !== pattern.length) throw new TypeError('the handshake is not over');
    const { hash } = this.#symmetric;
    const [first, second] = await this.#symmetric.split();
    return this.#isInitiator
      ? { send: first, receive: second, hash }
      : { send: second, receive: first, hash };
  }

  #tokens(isWriting: boolean): readonly Token[] {
    const tokens = pattern[this.#step];
    const isMyTurn = (this.#step % 2 === 0) === this.#isInitiator;
    if (!tokens || isMyTurn !== isWriting) throw new TypeError('not the turn for this message');
    this.#step += 1;
    return tokens;
  }

  async #mix(token: 'ee' | 'es' | 'se'): Promise<void> {
    // The first letter is the initiator's key, the second the responder's.
    const [mine, theirs] = this.#isInitiator ? [token[0], token[1]] : [token[1], token[0]];
    const key = mine === 'e' ? this.#ephemeralKey : this.#staticKey;
    const other = theirs === 'e' ? this.#remoteEphemeral : this.#remoteStatic;
    await this.#symmetric.mixKey(await this.#crypto.diffieHellman(key.privateKey, other!));
  }
}

type Pair = [CipherState, CipherState];

/** Section 5.2. */
class SymmetricState {
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #cipher: CipherState | undefined;

  readonly #crypto: ChannelCrypto;

  constructor(crypto: ChannelCrypto) {
    this.#crypto = crypto;
    // The name has 28 bytes. Zeros pad it to the length of a hash.
    this.#hash = concat([new TextEncoder().encode(protocolName), new Uint8Array(4)]);
    this.#chainingKey = this.#hash;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  async mixHash(data: Uint8Array): Promise<void> {
    this.#hash = await this.#crypto.sha256(concat([this.#hash, data]));
  }

  async mixKey(input: Uint8Array): Promise<void> {
    const [chainingKey, key] = await hkdf(this.#crypto, this.#chainingKey, input);
    this.#chainingKey = chainingKey;
    this.#cipher = new CipherState(key, this.#crypto);
  }

  async sealAndHash(plaintext: Uint8Array): Promise<Uint8Array> {
    const sealed = this.#cipher ? await this.#cipher.seal(this.#hash, plaintext) : plaintext;
    await this.mixHash(sealed);
    return sealed;
  }

  async openAndHash(sealed: Uint8Array): Promise<Uint8Array> {
    const plaintext = this.#cipher ? await this.#cipher.open(this.#hash, sealed) : sealed;
    await this.mixHash(sealed);
    return plaintext;
  }

  async split(): Promise<Pair> {
    const [first, second] = await hkdf(this.#crypto, this.#chainingKey, nothing);
    return [first, second].map((key) => new CipherState(key, this.#crypto, messagesPerKey)) as Pair;
  }
}
