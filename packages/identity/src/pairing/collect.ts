// An approved device collects its certificate: it is told each state of its request, until the request has ended or the
// certificate is handed out (docs/pairing.md, section 3, `Await`).

import type { PresentAuthority } from '../authority/present-authority.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import type { EndpointLists } from '../endpoint-lists.ts';
import { IdentityError } from '../errors.ts';
import type { DeviceCertificates } from '../fleet/issuing.ts';
import type { Registry } from '../registry/port.ts';
import { judgeStanding, standingMessages } from '../registry/standing.ts';
import { renewAfterMs } from '../renewal/plan.ts';
import { Wakeup } from '../wakeup.ts';
import { movePairing } from './change.ts';
import { existing } from './endings.ts';
import type { PairingSealer } from './rest.ts';
import type { PairingChannel } from './sessions.ts';
import type { Pairing } from './state.ts';
import { awaitProofInput } from './transcript.ts';

/** One state of a request, as the device is told. */
export interface AwaitUpdate {
  readonly state: Pairing['state'];
  readonly expiresAt: Date | undefined;
  readonly reason: string | undefined;
  /** Leaf, then issuing CA; empty until issued. */
  readonly certificateChain: readonly Uint8Array[];
  readonly trustBundle: readonly Uint8Array[];
  /** Where the node listener is, on the same host; set by the server that carries the call. */
  readonly nodePort?: number | undefined;
  /** Where the same services are over QUIC, if they are. */
  readonly quicPort?: number | undefined;
  /** Where devices reach the daemon, if it says so; set as the ports are. */
  readonly endpoints?: EndpointLists | undefined;
  /** How long after its arrival the certificate is best renewed, ms; 0 or absent: whenever. */
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
   * The request's states until it has ended or its certificate is handed out. Can be called again at any time, on any
   * channel, by who holds the await key.
   * @throws PAIRING_NOT_FOUND for an unknown request and for a wrong proof alike; the codes of `judgeStanding` where the
   *   certificate does not hold any more; IDENTITY_KEY_CHANGED.
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
      // What happened between the proof and the subscription.
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

  /** @throws what the holder of a certificate that does not hold any more is told. */
  async #update(pairing: Pairing): Promise<AwaitUpdate> {
    const { registry, authority, clock } = this.#options;
    const certificate =
      'serial' in pairing ? await registry.certificate({ serial: pairing.serial }) : undefined;
    const issuer =
      certificate && (await registry.authorities()).find((each) => each.id === certificate.issuerId);
    if (certificate) {
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
