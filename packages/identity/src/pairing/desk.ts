// The operator's side of pairing: makes codes, lists requests, decides once, and ends expired ones.

import { hexToBytes } from '@noble/curves/utils.js';
import type { PresentAuthority } from '../authority/present-authority.ts';
import type { Clock } from '../clock.ts';
import type { PairingCrypto } from '../crypto/port.ts';
import { makeUlid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { type Cause, changeDevice } from '../fleet/change.ts';
import type { DeviceRole } from '../fleet/device.ts';
import type { Approval } from '../fleet/device-state.ts';
import type { HostNames } from '../fleet/host-names.ts';
import type { PairingLimits } from '../limits.ts';
import { type Actor, actorName } from '../registry/actor.ts';
import type { Registry, RegistryTransaction } from '../registry/port.ts';
import { transactBy } from '../registry/transact-by.ts';
import { autoApprover } from './auto-approval.ts';
import { movePairing } from './change.ts';
import { formatQrUri, formatTypedCode, makeQrSecret, makeTypedSecret } from './code.ts';
import { endForRestore, endPairing, existing, expireDue } from './endings.ts';
import { parseDeviceName } from './name.ts';
import type { PairingSealer } from './sealer.ts';
import type { Pairing } from './state.ts';

const openStates = ['waiting', 'pending_approval', 'approved', 'issued'] as const;

export interface DeskOptions {
  readonly hostNames: HostNames;
  readonly registry: Registry;
  readonly crypto: PairingCrypto;
  readonly clock: Clock;
  readonly limits: PairingLimits;
  readonly sealer: PairingSealer;
  readonly authority: Pick<PresentAuthority, 'rootFingerprint' | 'checkKey'>;
}

export interface MintedCode {
  readonly pairing: Pairing;
  /** Digits for a person to type, or a palyra: URI. It exists in plain text only here: the registry has it sealed. */
  readonly code: string;
  readonly expiresAt: Date;
}

export interface ApprovalChoice {
  /** Required for a device id that is known with another identity key. */
  readonly replaceIdentityKey?: boolean;
  /** The operator's own name for the device. */
  readonly name?: string;
  /** Makes the device an operator. By default, a known device keeps its role, and one with another key has none. */
  readonly operator?: boolean;
  /** DNS names for its certificates. By default, a known device keeps its names, and one with another key has none. */
  readonly hostNames?: readonly string[];
  /** The deciding actor, for the audit log. */
  readonly by?: Actor;
  /** The details shown to the deciding person. A request that differs is not approved. */
  readonly seen?: SeenRequest;
}

export interface SeenRequest {
  readonly words: string;
  /** The role of the known device with this id; undefined if there is none. */
  readonly role: DeviceRole | undefined;
}

export class PairingDesk {
  readonly #options: DeskOptions;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /**
   * Makes a code.
   * @param request `address`: the pairing listener for devices, which goes into the QR code. `autoApprove`: approve the
   *   device that uses the code without asking. `by`: the actor, for the audit log.
   * @throws MESSAGE_INVALID for a life out of range, TOO_MANY_CODES.
   */
  async mint(request: {
    kind: 'typed' | 'qr';
    lifeMs?: number;
    address: string;
    autoApprove?: boolean;
    by?: Actor;
  }): Promise<MintedCode> {
    const { crypto, clock, limits, sealer, authority } = this.#options;
    const { kind, autoApprove = false } = request;
    const lifeMs = request.lifeMs ?? limits.codeLifeMs;
    if (!(lifeMs >= limits.codeLifeMinMs && lifeMs <= limits.codeLifeMaxMs)) {
      throw new IdentityError(
        'MESSAGE_INVALID',
        `The life of a code is ${limits.codeLifeMinMs / 1000} seconds to ${limits.codeLifeMaxMs / 3_600_000} hours.`,
      );
    }
    await expireDue(this.#options);
    for (;;) {
      const { slot, secret } = request.kind === 'qr' ? makeQrSecret(crypto) : makeTypedSecret(crypto);
      const now = clock.now();
      const id = makeUlid(now, crypto.randomBytes(10));
      const pairing = {
        id,
        revision: 0,
        state: 'waiting' as const,
        codeKind: kind,
        slot,
        createdAt: now,
        autoApprovedBy: autoApprove ? actorName(request.by ?? { kind: 'local', at: 'program' }) : undefined,
        expiresAt: new Date(now.getTime() + lifeMs),
        guessesLeft: limits.guessesPerCode,
        guessesTaken: 0,
        sealedSecret: await sealer.seal(id, 'code', secret),
      };
      const stored = await transactBy(this.#options, request.by, async (tx, by) => {
        if ((await tx.counts()).waitingCodes >= limits.liveCodes) throw tooManyCodes(limits.liveCodes);
        if (await tx.waitingPairing(slot)) return false;
        await tx.insertPairing(pairing);
        await tx.appendAudit({
          at: now,
          action: 'code.minted',
          subject: id,
          detail: {
            kind,
            ...(autoApprove && { autoApprove }),
            ...(by && { by }),
            ...(request.by?.kind === 'device' && { certificate: request.by.serial }),
            expires_at: pairing.expiresAt.getTime(),
            guesses: pairing.guessesLeft,
          },
        });
        tx.emit({ type: 'pairing_changed', pairing });
        return true;
      });
      if (!stored) continue;
      const code =
        request.kind === 'qr'
          ? formatQrUri(request.address, slot, secret, hexToBytes(authority.rootFingerprint))
          : formatTypedCode(slot, secret);
      return { pairing, code, expiresAt: pairing.expiresAt };
    }
  }

  /**
   * Approves the device. Its certificate is made when it fetches it. While no certificate can be signed, the approval is
   * refused and the request keeps waiting.
   * @throws SIGNER_UNAVAILABLE and other errors of the CA's key store. PAIRING_NOT_FOUND, PAIRING_STATE_CONFLICT
   *   (also when it differs from `seen`), PAIRING_EXPIRED, DEVICE_REVOKED, DEVICE_QUARANTINED; IDENTITY_KEY_CHANGED
   *   when the device id is known with another identity key and `replaceIdentityKey` is not set.
   */
  async approve(id: string, choice: ApprovalChoice = {}): Promise<Pairing> {
    await this.#options.authority.checkKey();
    const now = this.#options.clock.now();
    return transactBy(this.#options, choice.by, async (tx, by) =>
      this.#approveIn(tx, await existing(tx, id), choice, { at: now, by }),
    );
  }

  /**
   * Applies, in a change, the decision made with the code.
   * @returns false if the operator must be asked anyway.
   */
  async approveByCode(tx: RegistryTransaction, pairing: Pairing, at: Date): Promise<boolean> {
    const by = await autoApprover(tx, pairing);
    if (by === undefined) return false;
    await this.#approveIn(tx, pairing, {}, { at, by }, true);
    return true;
  }

  async #approveIn(
    tx: RegistryTransaction,
    pairing: Pairing,
    choice: ApprovalChoice,
    cause: Cause,
    automatic = false,
  ): Promise<Pairing> {
    const expiresAt = new Date(cause.at.getTime() + this.#options.limits.collectLifeMs);
    const stored = await movePairing(tx, pairing, { type: 'approve', expiresAt }, cause.at);
    const { request } = stored as Extract<Pairing, { state: 'approved' }>;
    const known = await tx.device(request.deviceId);
    const { seen } = choice;
    if (seen && !(seen.words === request.words && seen.role === known?.role)) throw notAsSeen(pairing.id);
    const approval: Approval = {
      pairingId: pairing.id,
      request,
      expiresAt,
      automatic,
      name: choice.name ? parseDeviceName(choice.name) : undefined,
      operator: choice.operator ?? false,
      hostNames: choice.hostNames && this.#options.hostNames.parse(choice.hostNames),
      replaceIdentityKey: choice.replaceIdentityKey ?? false,
    };
    await changeDevice(tx, known, { type: 'approve', approval }, cause);
    return stored;
  }

  /** Rejects the device, or withdraws a waiting code. @throws as `approve`. */
  async reject(id: string, reason: string, actor?: Actor): Promise<Pairing> {
    const now = this.#options.clock.now();
    return transactBy(this.#options, actor, async (tx, by) => {
      const pairing = await existing(tx, id);
      const type = pairing.state === 'waiting' ? 'withdraw' : 'reject';
      return endPairing(tx, pairing, { type, reason }, { at: now, by });
    });
  }

  /** Ends every code and request of a restored registry. @returns the number. */
  endForRestore(): Promise<number> {
    return endForRestore(this.#options);
  }

  /** Open codes and requests, newest first. */
  async open(limit: number): Promise<Pairing[]> {
    return this.#options.registry.pairings({ states: openStates, limit });
  }
}

function notAsSeen(id: string): IdentityError {
  return new IdentityError(
    'PAIRING_STATE_CONFLICT',
    `Request ${id} has changed since you saw it. Nothing was decided: look at it again, and compare the words.`,
  );
}

function tooManyCodes(limit: number): IdentityError {
  return new IdentityError('TOO_MANY_CODES', `${limit} codes are already waiting.`);
}
