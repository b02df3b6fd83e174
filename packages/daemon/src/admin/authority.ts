// The certificate authority: its certificates, its revocation lists, the rotation of its root.

import type { IdentityManager } from '@palyra/identity';
import { renewalDueAt } from '@palyra/identity/certificate';
import type { RootRotationStatus } from '@palyra/identity/registry';
import { reasonOf } from '@palyra/identity/values';
import {
  authorityStates,
  authorityTiers,
  keyProviders,
  type RotationStep,
  rotationPhases,
  rotationSteps,
} from '@palyra/rpc/admin';
import { actorOf, knownWord } from '@palyra/rpc/transport';
import { millis } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

export function authorityMethods(
  options: AdminServiceOptions,
): Methods<'getAuthority' | 'getRevocationLists' | 'getRootRotation' | 'rotateRoot'> {
  const { identity } = options;
  const { registry } = identity;
  return {
    async getAuthority() {
      // The number is read first: roots newer than their number do no harm, but older ones would.
      const { sequence } = await identity.publishedBundle();
      const authorities = await registry.authorities();
      const { place } = identity.authorityKeys;
      return {
        authorities: authorities.map((each) => ({
          id: each.id,
          tier: authorityTiers.toWire(each.tier),
          fingerprint: each.fingerprint,
          serial: each.serial,
          notBeforeMs: millis(each.notBefore),
          notAfterMs: millis(each.notAfter),
          active: each.state === 'active',
          state: authorityStates.toWire(each.state),
          replacedAtMs: each.tier === 'issuing' && each.state === 'active' ? millis(renewalDueAt(each)) : 0n,
          certificate: each.der,
          keyName: identity.authorityKeys.nameOf(each.id),
        })),
        keys: { ...place, provider: keyProviders.toWire(place.provider) },
        bundleSequence: BigInt(sequence),
      };
    },

    getRevocationLists: () => revocationListParts(identity),
    getRootRotation: async () => toWireRotation(await identity.rootRotation.status()),
    async rotateRoot({ step, force }, context) {
      const { rootRotation } = identity;
      const by = actorOf(context);
      const steps: Readonly<Record<RotationStep, () => Promise<void>>> = {
        prepare: () => rootRotation.prepare(by),
        activate: () => rootRotation.activate(force, by),
        finish: () => rootRotation.finish(force, by),
        rollback: () => rootRotation.rollback(by),
      };
      await steps[knownWord('A step', rotationSteps, step)]();
      await options.authorityChanged();
      return toWireRotation(await rootRotation.status());
    },
  };
}

async function* revocationListParts(identity: IdentityManager) {
  for (const { issuerId, list, error } of await identity.revocationLists.current()) {
    const failure = error === undefined ? '' : reasonOf(error);
    if (!list) yield { issuerId, number: 0n, nextUpdateMs: 0n, der: new Uint8Array(), failure };
    const head = list && {
      issuerId,
      number: BigInt(list.number),
      nextUpdateMs: millis(list.nextUpdate),
      failure,
    };
    for (const der of list?.der ?? []) yield { ...head, der };
  }
}

function toWireRotation({ phase, since, behind }: RootRotationStatus) {
  return {
    phase: rotationPhases.toWire(phase),
    sinceMs: since ? millis(since) : 0n,
    behind: behind.map(({ id, name }) => ({ id, name })),
  };
}
