// The device's side of the pairing protocol (docs/pairing.md, section 3). The mirror of daemon.ts.

import { bytesToHex } from '@noble/curves/utils.js';
import { checkIssuedChain } from '../certificate/issued-chain.ts';
import type { Clock } from '../clock.ts';
import type { DeviceCrypto } from '../crypto/port.ts';
import { dropEndpoints, storeToldEndpoints } from '../device/endpoints.ts';
import {
  dropEnrollment,
  type PairedEnrollment,
  type PendingEnrollment,
  storeEnrollment,
} from '../device/enrollment.ts';
import type { DeviceIdentity } from '../device/identity.ts';
import { withPort } from '../endpoint.ts';
import { IdentityError } from '../errors.ts';
import type { DeviceKind } from '../fleet/device.ts';
import { clockToleranceMs } from '../limits.ts';
import type { SecretStore } from '../secret-store/port.ts';
import type { PairingCode } from './code.ts';
import { codeMustHaveTries, takeTry } from './code-tries.ts';
import type { AwaitUpdate } from './collect.ts';
import { makeShare, scalarMultVfy } from './cpace.ts';
import type { ConfirmReply, ExchangeReply, OpenReply } from './daemon.ts';
import { type DaemonHello, encodeDeviceHello, parseDaemonHello } from './hello.ts';
import {
  awaitProofInput,
  COMMITMENT_NONCE_BYTES,
  channelIdentifier,
  commitmentTo,
  derivePairingKeys,
  identitySignatureInput,
  PAIRING_VERSION,
  tlsKeyProofInput,
} from './transcript.ts';

/** The daemon as seen by the device: four calls over one TLS channel. */
export interface PairingPeer {
  /** TLS exporter of this channel, 32 bytes. */
  readonly channelBinding: Uint8Array;
  /** Whether TLS has proven that the peer is the daemon of a stored record. */
  readonly isKnownDaemon: boolean;
  open(request: { version: number; slot: Uint8Array; kind: DeviceKind }): Promise<OpenReply>;
  exchange(request: {
    sessionId: Uint8Array;
    ya: Uint8Array;
    deviceHello: Uint8Array;
  }): Promise<ExchangeReply>;
  confirm(request: {
    sessionId: Uint8Array;
    deviceConfirmation: Uint8Array;
    identitySignature: Uint8Array;
    tlsKeyProof: Uint8Array;
  }): Promise<ConfirmReply>;
  await(request: { requestId: string; proof: Uint8Array }, signal: AbortSignal): AsyncIterable<AwaitUpdate>;
}

export interface PairingDevice {
  readonly identity: DeviceIdentity;
  readonly secrets: SecretStore;
  readonly crypto: DeviceCrypto;
  readonly clock: Clock;
  readonly kind: DeviceKind;
  /** Shown to the operator. */
  readonly name: string;
  readonly platform: string;
}

const DEFAULT_NODE_PORT = 7444;

const sessionIdBytes = 16;

/**
 * Pairs from the code up to a request that waits for the operator. Stores nothing until the daemon has proven that it
 * knows the code. From then on, the secret store has the pinned root and the request.
 * @param address host:port of the pairing listener, stored for later.
 * @param webAddress URL of the channel, where the pairing goes over one.
 * @throws TOO_MANY_TRIES, ROOT_MISMATCH, DAEMON_NOT_AUTHENTICATED, CLOCK_SKEW, MESSAGE_INVALID, and the daemon's
 *   errors.
 */
export async function requestPairing(
  device: PairingDevice,
  peer: PairingPeer,
  code: PairingCode,
  address: string,
  webAddress?: string,
): Promise<PendingEnrollment> {
  const { crypto, identity, secrets, clock } = device;
  await codeMustHaveTries(device, code);
  const opened = await peer.open({ version: PAIRING_VERSION, slot: code.slot, kind: device.kind });
  const openedAt = clock.now();
  const { sessionId: sid, commitment } = opened;
  if (sid.length !== sessionIdBytes) throw invalid('the session id is not 16 bytes');
  const rootFingerprint = await crypto.sha256(opened.rootCertificate);
  if (code.rootFingerprint && !crypto.equal(code.rootFingerprint, rootFingerprint)) {
    throw rootMismatch(bytesToHex(rootFingerprint));
  }
  const tlsKey = await crypto.generateTlsKey();
  const ci = channelIdentifier(peer.channelBinding, rootFingerprint, device.kind);
  const { scalar, share: ya } = await makeShare(crypto, { prs: code.secret, ci, sid });
  const adA = encodeDeviceHello({
    deviceId: identity.id,
    identityKey: identity.publicKey,
    tlsKey: tlsKey.publicKey,
    name: device.name,
    platform: device.platform,
  });
  const { yb, nonce, ...exchanged } = await peer.exchange({ sessionId: sid, ya, deviceHello: adA });
  const adB = exchanged.daemonHello;
  if (nonce.length !== COMMITMENT_NONCE_BYTES) throw invalid('the nonce is not 32 bytes');
  if (!crypto.equal(commitment, await commitmentTo(crypto, { yb, adB, nonce }))) throw commitmentBroken();
  const k = await scalarMultVfy(crypto, scalar, yb);
  const keys = await derivePairingKeys(crypto, { ci, sid, commitment }, k, { ya, adA, yb, adB });
  // The next message tells the peer whether its guess was right.
  await takeTry(device, code);
  if (!crypto.equal(exchanged.daemonConfirmation, keys.daemonConfirmation)) throw notAuthenticated();
  const hello = parseDaemonHello(adB);
  const trustDomain = await crypto.trustDomainOf(opened.rootCertificate);
  if (trustDomain !== hello.trustDomain) throw notAuthenticated();
  checkClock(openedAt, hello);

  const confirmed = await peer.confirm({
    sessionId: sid,
    deviceConfirmation: keys.deviceConfirmation,
    identitySignature: await identity.sign(identitySignatureInput(keys.transcript)),
    tlsKeyProof: await tlsKey.sign(tlsKeyProofInput(keys.transcript)),
  });
  const pending: PendingEnrollment = {
    state: 'pending',
    root: bytesToHex(rootFingerprint),
    deviceId: identity.id,
    daemonId: hello.daemonId,
    trustDomain: hello.trustDomain,
    address,
    ...(webAddress !== undefined && { webAddress }),
    tlsKey: tlsKey.export(),
    trustBundle: [opened.rootCertificate],
    requestId: confirmed.requestId,
    awaitKey: keys.awaitKey,
    confirmedOn: peer.channelBinding,
    words: keys.words,
  };
  await storeEnrollment(secrets, pending);
  return pending;
}

/**
 * Waits for the decision and stores the pinned mTLS identity. It can be called again on a new channel after any
 * interruption.
 * @param peer on the channel of the pairing, or on one verified by the pinned root; otherwise the answer would not be
 *   trustworthy.
 * @param options `onState`: called with each state that the daemon reports.
 * @throws PAIRING_REJECTED, PAIRING_EXPIRED (the request is forgotten), CERTIFICATE_INVALID, and the daemon's
 *   errors.
 */
export async function awaitPairing(
  device: Pick<PairingDevice, 'identity' | 'secrets' | 'crypto' | 'clock'>,
  peer: PairingPeer,
  pending: PendingEnrollment,
  options: { readonly signal: AbortSignal; readonly onState?: (update: AwaitUpdate) => void },
): Promise<PairedEnrollment> {
  const { identity, secrets, crypto } = device;
  if (!peer.isKnownDaemon && !crypto.equal(peer.channelBinding, pending.confirmedOn))
    throw new TypeError(
      'a request is awaited where it was confirmed, or on a channel dialled for its daemon',
    );
  const proof = await crypto.hmacSha256(
    pending.awaitKey,
    awaitProofInput(pending.requestId, peer.channelBinding),
  );
  for await (const update of peer.await({ requestId: pending.requestId, proof }, options.signal)) {
    options.onState?.(update);
    if (update.state === 'rejected' || update.state === 'expired') {
      await dropEnrollment(secrets, pending);
      throw refused(update);
    }
    if (update.certificateChain.length === 0) continue;
    await checkIssuedChain(crypto, update.certificateChain, {
      deviceId: identity.id,
      trustDomain: pending.trustDomain,
      tlsKey: await crypto.importTlsKey(pending.tlsKey),
      // The channel is authenticated, so the answer may contain a new root.
      trustBundle: update.trustBundle,
    });
    const { requestId: _, awaitKey: __, words: ___, confirmedOn: ____, ...common } = pending;
    const paired: PairedEnrollment = {
      ...common,
      state: 'paired',
      nodeAddress: withPort(pending.address, update.nodePort ?? DEFAULT_NODE_PORT),
      ...(update.quicPort !== undefined && { quicAddress: withPort(pending.address, update.quicPort) }),
      certificateChain: update.certificateChain,
      trustBundle: update.trustBundle,
      receivedAt: device.clock.now().getTime(),
      renewAfterMs: update.renewAfterMs ?? 0,
    };
    await storeEnrollment(secrets, paired);
    // Endpoints set by hand earlier were for the daemon's old address.
    await dropEndpoints(secrets, paired.root);
    return storeToldEndpoints(secrets, paired, update.endpoints);
  }
  throw new IdentityError(
    'UNREACHABLE',
    'The daemon ended the wait without a decision. Run the same command again.',
  );
}

function checkClock(now: Date, hello: DaemonHello): void {
  if (Math.abs(now.getTime() - hello.time.getTime()) <= clockToleranceMs) return;
  throw new IdentityError(
    'CLOCK_SKEW',
    `This device's clock says ${now.toISOString()}, the daemon's says ${hello.time.toISOString()}. Certificates need both clocks to agree: correct the wrong one and pair again.`,
  );
}

function rootMismatch(actual: string): IdentityError {
  return new IdentityError(
    'ROOT_MISMATCH',
    `The root certificate of the daemon at this address (SHA-256 ${actual}) is not the one in the QR code. The connection may be intercepted. Nothing was stored, and no secret was sent.`,
  );
}

function commitmentBroken(): IdentityError {
  return new IdentityError(
    'DAEMON_NOT_AUTHENTICATED',
    "The daemon's answer does not match its earlier commitment, so the connection is intercepted. Nothing was stored.",
    { about: 'interception' },
  );
}

function invalid(why: string): IdentityError {
  return new IdentityError('MESSAGE_INVALID', `The daemon's answer cannot be read: ${why}.`);
}

function notAuthenticated(): IdentityError {
  return new IdentityError(
    'DAEMON_NOT_AUTHENTICATED',
    'The daemon could not prove that it knows this code: the code is wrong or used up, or the connection is intercepted. Nothing was stored.',
    { about: 'pairing_code' },
  );
}

function refused(update: AwaitUpdate): IdentityError {
  if (update.state === 'expired') {
    return new IdentityError('PAIRING_EXPIRED', 'The request expired before it was completed.');
  }
  const reason = update.reason ? `: ${update.reason}` : '';
  return new IdentityError('PAIRING_REJECTED', `The operator rejected this device${reason}.`);
}
