// An approved device collects its certificate: it receives each state of its request until the request ends or the
// certificate is issued (docs/pairing.md, section 3, `Await`).

import type { PresentAuthority } from '../authority/present-authority.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import type { EndpointLists } from '../endpoint-lists.ts';
import { IdentityError } from '../errors.ts';
import type { DeviceCertificates } from '../fleet/issuing.ts';
import type { Registry } from '../registry/port.ts';
import { deviceRevoked, judgeStanding, standingMessages } from '../registry/standing.ts';
import { renewAfterMs } from '../renewal/plan.ts';
import { Wakeup } from '../wakeup.ts';
import { movePairing } from './change.ts';
import { existing } from './endings.ts';
import type { PairingSealer } from './sealer.ts';
import type { PairingChannel } from './sessions.ts';
import type { Pairing } from './state.ts';
import { awaitProofInput } from './transcript.ts';

/** One state of a request, as sent to the device. */
export interface AwaitUpdate {
  readonly state: Pairing['state'];
  readonly expiresAt: Date | undefined;
  readonly reason: string | undefined;
  /** Leaf, then issuing CA; empty until issued. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** Port of the node listener on the same host; set by the server of the call. */
  readonly nodePort?: number | undefined;
  /** Port of these services over QUIC, if served. */
  readonly quicPort?: number | undefined;
  /** Announced endpoints of the daemon, if any; set by the server of the call. */
  readonly endpoints?: EndpointLists | undefined;
  /** When to renew the certificate, ms after its arrival; 0 or absent: the device decides. */
  readonly renewAfterMs?: number;
}

export interface CollectOptions {
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly sealer: PairingSealer;
  readonly certificates: DeviceCertificates;
  readonly authority: PresentAuthority;
}

export class PairingCollection {
  readonly #options: CollectOptions;

  constructor(options: CollectOptions) {
    this.#options = options;
  }

  /**
   * The states of the request until it ends or its certificate is issued. The holder of the await key can call it again
   * at any time, on any channel.
   * @throws PAIRING_NOT_FOUND for an unknown request and for a wrong proof alike; the codes of `judgeStanding` where
   *   the certificate does not hold any more; IDENTITY_KEY_CHANGED.
   */
  async *await(
    channel: PairingChannel,
    request: { requestId: string; proof: Uint8Array },
    signal: AbortSignal,
  ): AsyncGenerator<AwaitUpdate> {
    const { registry } = this.#options;
    let pairing = await this.#proveRequest(channel, request);
    const wakeup = new Wakeup();
    let told: number | undefined;
    const unsubscribe = registry.subscribe((event) => {
      if (event.type === 'pairing_changed' && event.pairing.id === request.requestId) wakeup.wake();
    });
    signal.addEventListener('abort', wakeup.wake);
    try {
      // Catches changes between the proof and the subscription.
      pairing = (await registry.pairing(request.requestId)) ?? pairing;
      while (!signal.aborted) {
        if (pairing.state === 'approved') pairing = await this.#issue(pairing);
        if (pairing.revision !== told) yield await this.#update(pairing);
        told = pairing.revision;
        if (pairing.state !== 'pending_approval' && pairing.state !== 'approved') return;
        await wakeup.sleep();
        pairing = (await registry.pairing(request.requestId)) ?? pairing;
      }
    } finally {
      unsubscribe();
      signal.removeEventListener('abort', wakeup.wake);
    }
  }

  async #proveRequest(
    channel: PairingChannel,
    request: { requestId: string; proof: Uint8Array },
  ): Promise<Pairing> {
    const { registry, crypto, sealer } = this.#options;
    const pairing = await registry.pairing(request.requestId);
    if (pairing && 'request' in pairing && pairing.request) {
      const key = await sealer.unseal(pairing.id, 'await', pairing.request.sealedAwaitKey);
      const expected = await crypto.hmacSha256(key, awaitProofInput(pairing.id, channel.channelBinding));
      if (crypto.equal(expected, request.proof)) return pairing;
    }
    throw new IdentityError('PAIRING_NOT_FOUND', 'There is no such request.');
  }

  /** Two simultaneous Awaits may both get here: one stores a certificate, and the other finds it stored. */
  async #issue({ id, request }: Extract<Pairing, { state: 'approved' }>): Promise<Pairing> {
    const { registry, certificates } = this.#options;
    const { deviceId, identityKey, tlsKey } = request;
    const { hostNames } = (await registry.device(deviceId)) ?? { hostNames: [] };
    const { granted } = await certificates.issue(
      { id: deviceId, identityKey, hostNames },
      tlsKey,
      { type: 'pairing', pairingId: id },
      () => identityKeyReplaced(deviceId),
      async ({ tx, certificate, now, add }) => {
        const pairing = await existing(tx, id);
        if (pairing.state !== 'approved') return pairing;
        await add();
        const { serial, notAfter } = certificate;
        return movePairing(tx, pairing, { type: 'issue', serial, expiresAt: notAfter }, now);
      },
    );
    return granted;
  }

  /** @throws the error for the holder of a certificate that is no longer valid. */
  async #update(pairing: Pairing): Promise<AwaitUpdate> {
    const { registry, authority, clock } = this.#options;
    if (pairing.state === 'rejected' && pairing.request) {
      const device = await registry.device(pairing.request.deviceId);
      if (device?.state === 'revoked') throw deviceRevoked(device.id, device.revocationReason);
    }
    const certificate =
      'serial' in pairing ? await registry.certificate({ serial: pairing.serial }) : undefined;
    const issuer =
      certificate && (await registry.authorities()).find((each) => each.id === certificate.issuerId);
    if (certificate) {
      // The device takes the trust bundle as the one of its certificate.
      await authority.refresh();
      const standing = await registry.standing(certificate.fingerprint);
      const verdict = judgeStanding(standing, clock.now().getTime());
      if (!verdict.ok) throw new IdentityError(verdict.code, standingMessages[verdict.code]);
    }
    return {
      state: pairing.state,
      expiresAt: 'expiresAt' in pairing ? pairing.expiresAt : undefined,
      reason: pairing.state === 'rejected' ? pairing.reason : undefined,
      certificateChain: certificate && issuer ? [certificate.der, issuer.der] : [],
      trustBundle: certificate ? authority.trustBundle : [],
      renewAfterMs: renewAfterMs(certificate?.renewAt?.getTime(), clock.now().getTime()),
    };
  }
}

function identityKeyReplaced(id: string): IdentityError {
  return new IdentityError(
    'IDENTITY_KEY_CHANGED',
    `The operator has since approved another identity key for device ${id}.`,
    { deviceId: id },
  );
}
