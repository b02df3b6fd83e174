// The device's side of a handshake in separate steps, so that a test can send any message wrong, twice or too early.
// The defaults are those of a good device.

import { TlsKey } from '@palyra/identity/certificate';
import type { PairingPeer } from '@palyra/identity/device';
import type { PairingCode } from '@palyra/identity/pairing';
import { nodeCrypto } from '@palyra/identity/values';
import { makeShare, scalarMultVfy } from '../../packages/identity/src/pairing/cpace.ts';
import type { ConfirmReply, ExchangeReply, OpenReply } from '../../packages/identity/src/pairing/daemon.ts';
import { encodeDeviceHello } from '../../packages/identity/src/pairing/hello.ts';
import {
  channelIdentifier,
  derivePairingKeys,
  identitySignatureInput,
  PAIRING_VERSION,
  type PairingKeys,
  tlsKeyProofInput,
} from '../../packages/identity/src/pairing/transcript.ts';
import type { SampleDevice } from './sample-device.ts';

export class RawHandshake {
  readonly device: SampleDevice;
  readonly peer: PairingPeer;
  readonly opened: OpenReply;
  readonly tlsKey = TlsKey.generate();
  readonly scalar: Uint8Array;
  readonly ya: Uint8Array;
  readonly ci: Uint8Array;
  hello: Uint8Array;
  keys!: PairingKeys;
  exchanged!: ExchangeReply;

  static async open(device: SampleDevice, peer: PairingPeer, code: PairingCode): Promise<RawHandshake> {
    const opened = await peer.open({ version: PAIRING_VERSION, slot: code.slot, kind: device.kind });
    const root = await nodeCrypto.sha256(opened.rootCertificate);
    const ci = channelIdentifier(peer.channelBinding, root, device.kind);
    const share = await makeShare(nodeCrypto, { prs: code.secret, ci, sid: opened.sessionId });
    return new RawHandshake(device, peer, opened, ci, share);
  }

  private constructor(
    device: SampleDevice,
    peer: PairingPeer,
    opened: OpenReply,
    ci: Uint8Array,
    share: { scalar: Uint8Array; share: Uint8Array },
  ) {
    this.device = device;
    this.peer = peer;
    this.opened = opened;
    this.ci = ci;
    this.scalar = share.scalar;
    this.ya = share.share;
    this.hello = encodeDeviceHello({
      deviceId: device.identity.id,
      identityKey: device.identity.publicKey,
      tlsKey: this.tlsKey.publicKey,
      name: device.name,
      platform: device.platform,
    });
  }

  /** Sends Exchange, and derives the keys from the message that this side believes it sent. */
  async exchange(
    sent: { readonly ya?: Uint8Array; readonly deviceHello?: Uint8Array } = {},
  ): Promise<ExchangeReply> {
    const { sessionId } = this.opened;
    this.exchanged = await this.peer.exchange({
      sessionId,
      ya: this.ya,
      deviceHello: this.hello,
      ...sent,
    });
    const k = await scalarMultVfy(nodeCrypto, this.scalar, this.exchanged.yb);
    const session = { ci: this.ci, sid: sessionId, commitment: this.opened.commitment };
    this.keys = await derivePairingKeys(nodeCrypto, session, k, {
      ya: this.ya,
      adA: this.hello,
      yb: this.exchanged.yb,
      adB: this.exchanged.daemonHello,
    });
    return this.exchanged;
  }

  /** Whether the daemon has proven that it knows the code. */
  get daemonProven(): boolean {
    return Buffer.from(this.exchanged.daemonConfirmation).equals(this.keys.daemonConfirmation);
  }

  async confirm(
    sent: {
      readonly deviceConfirmation?: Uint8Array;
      readonly identitySignature?: Uint8Array;
      readonly tlsKeyProof?: Uint8Array;
    } = {},
  ): Promise<ConfirmReply> {
    const { transcript, deviceConfirmation } = this.keys;
    return this.peer.confirm({
      sessionId: this.opened.sessionId,
      deviceConfirmation,
      identitySignature: await this.device.identity.sign(identitySignatureInput(transcript)),
      tlsKeyProof: this.tlsKey.sign(tlsKeyProofInput(transcript)),
      ...sent,
    });
  }
}

/** A copy of the bytes with one bit flipped. */
export function tampered(bytes: Uint8Array, at = 0): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= 1;
  return copy;
}
