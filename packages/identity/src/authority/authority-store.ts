// Loads the CA at a start. The first start creates it.
// Key first, registry second: a crash in between leaves a key for the next attempt, never a certificate without one.

import { makeTrustDomain, parseTrustDomain } from '../certificate/spiffe-id.ts';
import { makeUlid, type Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import { checkKeyPlace, keyPlaceSetting, loadFromPlace } from './authority-keys.ts';
import { daemonOf, markCreated, registryLost } from './belonging.ts';
import { type LoadedIssuing, loadIssuing } from './issuing.ts';
import { type AuthorityStoreOptions, insertAuthority, newRoot, type Present } from './new-authority.ts';

export interface LoadedAuthority extends LoadedIssuing {
  readonly daemonId: Ulid;
  readonly trustDomain: string;
}

/**
 * @throws SECRET_NOT_FOUND, SIGNER_MISMATCH, STORE_FAILED if registry, keys and secret store do not belong together.
 */
export async function openAuthority(options: AuthorityStoreOptions): Promise<LoadedAuthority> {
  const { registry, secrets, keys } = options;
  const made = await daemonOf(secrets);
  let daemonId = (await registry.setting('daemon_id')) as Ulid | undefined;
  if (daemonId === undefined) {
    if (made !== undefined) throw registryLost(undefined, made);
    daemonId = await createDaemon(options);
  }
  if (made !== undefined && made !== daemonId) throw registryLost(daemonId, made);
  await checkKeyPlace(registry, keys);
  const trustDomain = (await registry.setting('trust_domain')) ?? '';
  if (options.trustDomain !== undefined && options.trustDomain !== trustDomain) {
    throw trustDomainFixed(trustDomain, options.trustDomain);
  }
  const loaded = await loadIssuing(options, trustDomain, 'start');
  // The root's key is needed only to replace an issuing CA. Load it now, so that a loss is not noticed months later.
  await loadFromPlace(registry, keys, loaded.rootId);
  // At the first start, and after an incomplete one.
  if (made === undefined) await markCreated(secrets, daemonId);
  return { daemonId, trustDomain, ...loaded };
}

async function createDaemon(options: AuthorityStoreOptions): Promise<Ulid> {
  const { registry, crypto, clock } = options;
  const trustDomain = options.trustDomain
    ? parseTrustDomain(options.trustDomain)
    : makeTrustDomain(crypto.randomBytes(10));
  const look: Present<Ulid> = async (tx) => {
    const present = await tx.setting('daemon_id');
    return present === undefined ? undefined : { present: present as Ulid };
  };
  const root = await newRoot(options, trustDomain, 'active', look);
  if ('present' in root) return root.present;
  const now = clock.now();
  const daemonId = makeUlid(now, crypto.randomBytes(10));
  return registry.transact(async (tx) => {
    const found = await look(tx);
    if (found) return found.present;
    await tx.putSetting('daemon_id', daemonId);
    await tx.putSetting('trust_domain', trustDomain);
    await tx.putSetting(keyPlaceSetting, JSON.stringify(options.keys.place));
    await tx.appendAudit({
      at: now,
      action: 'daemon.created',
      subject: daemonId,
      detail: { trustDomain, keys: JSON.stringify(options.keys.place) },
    });
    await insertAuthority(tx, root, now);
    return daemonId;
  });
}

function trustDomainFixed(present: string, wanted: string): IdentityError {
  return new IdentityError(
    'MESSAGE_INVALID',
    `The trust domain of this home is ${present}, and every device is pinned to it: it cannot become ${wanted}. Take trustDomain out of the configuration, or start with a new home.`,
  );
}
