// Codes and pairings for the operator: making codes, listing and deciding.

import { IdentityError, type IdentityManager } from '@palyra/identity';
import { identityFingerprint } from '@palyra/identity/device';
import type { Pairing } from '@palyra/identity/registry';
import { nodeCrypto, Wakeup } from '@palyra/identity/values';
import { continuities, DeviceRole, deviceKinds, deviceRoles, pairingStates } from '@palyra/rpc/admin';
import { actorOf, isRemote } from '@palyra/rpc/transport';
import { untilStopped } from './call.ts';
import { millis, pageSize, parseReason, parseRole } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';
import { PairingChanges } from './pairing-changes.ts';

export function pairingMethods(
  options: AdminServiceOptions,
): Methods<
  'mintCode' | 'listPairings' | 'getPairing' | 'approvePairing' | 'rejectPairing' | 'watchPairings'
> {
  const { identity } = options;
  const { registry, desk } = identity;
  const wirePairing = (pairing: Pairing) => toWirePairing(identity, pairing);
  return {
    async mintCode({ qr, lifeSeconds, autoApprove }, context) {
      const minted = await desk.mint({
        kind: qr ? 'qr' : 'typed',
        address: options.pairingAddress(),
        autoApprove,
        by: actorOf(context),
        ...(lifeSeconds > 0 && { lifeMs: lifeSeconds * 1000 }),
      });
      return {
        pairingId: minted.pairing.id,
        code: minted.code,
        expiresAtMs: millis(minted.expiresAt),
        address: options.pairingAddress(),
      };
    },
    async listPairings({ openOnly, limit }) {
      const page = pageSize(limit);
      const pairings = openOnly ? await desk.open(page) : await registry.pairings({ limit: page });
      return { pairings: await Promise.all(pairings.map(wirePairing)) };
    },
    async getPairing({ id }) {
      const pairing = await registry.pairing(id);
      if (!pairing)
        throw new IdentityError('PAIRING_NOT_FOUND', `There is no pairing ${id}.`, { pairingId: id });
      return wirePairing(pairing);
    },
    async approvePairing({ id, replaceIdentityKey, name, operator, hostNames, seen }, context) {
      if (operator && isRemote(context)) throw onlyAtTheMachine();
      const choice = {
        replaceIdentityKey,
        operator,
        by: actorOf(context),
        ...(name && { name }),
        ...(hostNames.length > 0 && { hostNames }),
        ...(seen && {
          seen: {
            words: seen.words,
            role: seen.role === DeviceRole.UNSPECIFIED ? undefined : parseRole(seen.role),
          },
        }),
      };
      return wirePairing(await desk.approve(id, choice));
    },
    rejectPairing: async ({ id, reason }, context) =>
      wirePairing(await desk.reject(id, parseReason(reason), actorOf(context))),
    watchPairings: (_request, context) =>
      untilStopped(options, context, (signal) => watchPairings(identity, signal)),
  };
}

/** The open pairings, then every change. A change in between may be reported twice, but never missed. */
async function* watchPairings(identity: IdentityManager, signal: AbortSignal) {
  const wakeup = new Wakeup();
  const changes = new PairingChanges(identity, wakeup.wake);
  signal.addEventListener('abort', wakeup.wake);
  try {
    for (const pairing of await changes.open()) yield await toWirePairing(identity, pairing);
    while (!signal.aborted) {
      for (const pairing of changes.take()) yield await toWirePairing(identity, pairing);
      await wakeup.sleep();
    }
  } finally {
    changes.close();
    signal.removeEventListener('abort', wakeup.wake);
  }
}

export async function toWirePairing({ registry }: IdentityManager, pairing: Pairing) {
  const request = 'request' in pairing ? pairing.request : undefined;
  const known = request && (await registry.device(request.deviceId));
  return {
    id: pairing.id,
    state: pairingStates.toWire(pairing.state),
    slot: pairing.codeKind === 'typed' ? pairing.slot : '',
    createdAtMs: millis(pairing.createdAt),
    expiresAtMs: 'expiresAt' in pairing ? millis(pairing.expiresAt) : 0n,
    guessesLeft: pairing.guessesLeft,
    failedGuesses: request?.failedGuesses ?? pairing.guessesTaken,
    reason: pairing.state === 'rejected' ? pairing.reason : '',
    serial: 'serial' in pairing ? pairing.serial : '',
    autoApprove: pairing.autoApprovedBy !== undefined,
    ...(request && {
      device: {
        deviceId: request.deviceId,
        name: request.name,
        kind: deviceKinds.toWire(request.kind),
        platform: request.platform,
        identityFingerprint: await identityFingerprint(nodeCrypto, request.identityKey),
        words: request.words,
        source: request.source,
        continuity: continuities.toWire(request.continuity),
        knownName: known?.name ?? '',
        role: known ? deviceRoles.toWire(known.role) : DeviceRole.UNSPECIFIED,
      },
    }),
  };
}

/** Somebody who took over an operator's device could otherwise make operators that outlive its revocation. */
function onlyAtTheMachine(): IdentityError {
  return new IdentityError(
    'CALLER_NOT_ALLOWED',
    "Only the daemon's own machine can grant the operator role. Approve the request without it.",
    { about: 'operator_role' },
  );
}
