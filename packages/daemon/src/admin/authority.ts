// The certificate authority: its certificates, its revocation lists, the rotation of its root.

import { IdentityError, type IdentityManager } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import { actorIn } from './call.ts';
import { millis } from './messages.ts';
import type { AdminServiceOptions, Methods } from './options.ts';

export function authorityMethods(
  options: AdminServiceOptions,
): Methods<'getAuthority' | 'getRevocationLists' | 'rotateRoot'> {
  const { identity } = options;
  const { registry } = identity;
  return {
    async getAuthority() {
      // First: roots that are newer than their number do no harm, older ones would.
      const { sequence } = await identity.publishedBundle();
      const authorities = await registry.authorities();
      return {
        authorities: authorities.map((each) => ({
          id: each.id,
          tier: each.tier,
          fingerprint: each.fingerprint,
          serial: each.serial,
          notBeforeMs: millis(each.notBefore),
          notAfterMs: millis(each.notAfter),
          active: each.state === 'active',
          state: each.state,
          replacedAtMs: each.tier === 'issuing' && each.state === 'active' ? millis(twoThirds(each)) : 0n,
          certificate: each.der,
          keyName: identity.authorityKeys.nameOf(each.id),
        })),
        keys: identity.authorityKeys.place,
        bundleSequence: BigInt(sequence),
      };
    },

    getRevocationLists: () => revocationListParts(identity),
    async rotateRoot({ step, force }, context) {
      const { rootRotation } = identity;
      const by = actorIn(context);
      if (step === 'prepare') await rootRotation.prepare(by);
      else if (step === 'activate') await rootRotation.activate(force, by);
      else if (step === 'finish') await rootRotation.finish(force, by);
      else if (step === 'rollback') await rootRotation.rollback(by);
      else if (step !== 'status') {
        throw new IdentityError(
          'MESSAGE_INVALID',
          'A step is status, prepare, activate, finish or rollback.',
        );
      }
      if (step !== 'status') await options.authorityChanged();
      const { phase, since, behind } = await rootRotation.status();
      return {
        phase,
        sinceMs: since ? millis(since) : 0n,
        behind: behind.map(({ id, name }) => ({ id, name })),
      };
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

/** When it is replaced: at 2/3 of its life. */
function twoThirds({ notBefore, notAfter }: { readonly notBefore: Date; readonly notAfter: Date }): Date {
  return new Date(notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3);
}
