// An authenticator in software (WebAuthn Level 3, 6 and 7): ES256, without attestation. It does what a test tells it,
// also what no browser would.

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

const hash = (data: string | Uint8Array) => createHash('sha256').update(data).digest();
const present = 0x01;
const verified = 0x04;
const attested = 0x40;

export interface Use {
  /** Default: that of the options. */
  readonly challenge?: string;
  readonly origin: string;
  readonly rpId?: string;
  /** Whether the person was verified, by PIN or finger. */
  readonly isVerified?: boolean;
  /** Default: one more than before. */
  readonly counter?: number;
}

export class SoftPasskey {
  readonly id = randomBytes(16);
  counter = 0;
  readonly #privateKey: KeyObject;
  readonly #cose: Buffer;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#privateKey = privateKey;
    const { x, y } = publicKey.export({ format: 'jwk' });
    const coordinate = (text: string | undefined) => bytesOf(Buffer.from(text ?? '', 'base64url'));
    // COSE (RFC 9053 7.1.1): kty EC2, alg ES256, crv P-256, x, y.
    const head = Buffer.from([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01]);
    this.#cose = Buffer.concat([
      head,
      Buffer.from([0x21]),
      coordinate(x),
      Buffer.from([0x22]),
      coordinate(y),
    ]);
  }

  /** @returns RegistrationResponseJSON */
  register(optionsJson: string, use: Use): string {
    const options = JSON.parse(optionsJson);
    const credential = Buffer.concat([Buffer.alloc(16), u16(this.id.length), this.id, this.#cose]);
    const authData = Buffer.concat([this.#authData(use, attested), credential]);
    // { fmt: "none", attStmt: {}, authData }
    const object = Buffer.concat([
      Buffer.from([0xa3]),
      textOf('fmt'),
      textOf('none'),
      textOf('attStmt'),
      Buffer.from([0xa0]),
      textOf('authData'),
      bytesOf(authData),
    ]);
    return JSON.stringify({
      ...this.#credential(),
      response: {
        clientDataJSON: clientData('webauthn.create', options.challenge, use).toString('base64url'),
        attestationObject: object.toString('base64url'),
        transports: ['internal'],
      },
    });
  }

  /** @returns the value of the header `palyra-assertion`. */
  assert(optionsJson: string, use: Use): string {
    const options = JSON.parse(optionsJson);
    this.counter = use.counter ?? this.counter + 1;
    const authData = this.#authData(use, 0);
    const data = clientData('webauthn.get', options.challenge, use);
    const signature = sign('sha256', Buffer.concat([authData, hash(data)]), this.#privateKey);
    const response = {
      ...this.#credential(),
      response: {
        clientDataJSON: data.toString('base64url'),
        authenticatorData: authData.toString('base64url'),
        signature: signature.toString('base64url'),
      },
    };
    return Buffer.from(JSON.stringify(response)).toString('base64url');
  }

  #credential() {
    const id = this.id.toString('base64url');
    return { id, rawId: id, type: 'public-key', clientExtensionResults: {} };
  }

  #authData({ rpId = 'localhost', isVerified = true }: Use, more: number): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter);
    const flags = present | (isVerified ? verified : 0) | more;
    return Buffer.concat([hash(rpId), Buffer.from([flags]), counter]);
  }
}

function clientData(type: string, asked: string, { challenge = asked, origin }: Use): Buffer {
  return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

// CBOR (RFC 8949 3): text strings shorter than 24 bytes, byte strings shorter than 65536.
function textOf(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x60 + text.length]), Buffer.from(text)]);
}

function bytesOf(bytes: Buffer): Buffer {
  const head =
    bytes.length < 256
      ? Buffer.from([0x58, bytes.length])
      : Buffer.concat([Buffer.from([0x59]), u16(bytes.length)]);
  return Buffer.concat([head, bytes]);
}
