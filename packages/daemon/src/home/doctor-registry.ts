// The doctor's findings about a registry: its keys, clock, audit and authorities, and whether it was restored.

import { hasCode, IdentityError, verifyAudit } from '@palyra/identity';
import {
  type AuthorityKeyReader,
  checkKeyPlace,
  type KeyPlace,
  type SecretReader,
} from '@palyra/identity/keys';
import {
  describeDifference,
  mustBelongTogether,
  type RegistryReader,
  readRestored,
} from '@palyra/identity/registry';
import { clockToleranceMs, type Ulid } from '@palyra/identity/values';
import type { DaemonConfig } from '../config.ts';
import { readCaKeys } from './ca-key.ts';
import type { Find, Finding } from './finding.ts';
import { unusableTokenFiles } from './obstacles.ts';
import type { DaemonPaths } from './paths.ts';

const day = 86_400_000;

interface Surroundings {
  readonly paths: DaemonPaths;
  readonly config: DaemonConfig | undefined;
  readonly secrets: SecretReader | undefined;
  readonly now: Date;
  readonly find: Find;
}

export async function examineRegistry(
  registry: RegistryReader,
  { paths, config, secrets, now, find }: Surroundings,
): Promise<void> {
  await find('registry', async () => {
    const { devices, pendingRequests } = await registry.counts();
    if (secrets) await mustBelongTogether(secrets, registry);
    return `The registry opens: ${devices} device${devices === 1 ? '' : 's'}, ${pendingRequests} ${pendingRequests === 1 ? 'waiting request' : 'waiting requests'}.`;
  });
  let opened: AuthorityKeyReader | undefined;
  /** Present only if they belong to the registry. */
  let keys: AuthorityKeyReader | undefined;
  try {
    await find('ca key', async () => {
      // Problems with the secrets or with a token's files were already reported.
      if (!config || !secrets || (await unusableTokenFiles(config)).length > 0) return [];
      opened = await readCaKeys(config, paths, secrets, registry);
      await checkKeyPlace(registry, opened);
      keys = opened;
      return keys.place.provider === 'pkcs11'
        ? takesPin(keys.place)
        : "The CA's keys are in the secret store.";
    });
    await find('clock', () => examineClock(registry, now));
    await find('audit', () => examineAudit(registry));
    await find('authority', () => examineAuthorities(registry, keys, now));
    await find('restore', () => examineRestore(registry));
  } finally {
    await opened?.close();
  }
}

export const takesPin = ({ token, serial }: KeyPlace) =>
  `The token "${token}" (serial number ${serial}) accepts the PIN.`;

async function examineClock(registry: RegistryReader, now: Date): Promise<string | Finding[]> {
  const [last] = await registry.audit({ limit: 1 });
  if (!last || now.getTime() >= last.atMs - clockToleranceMs) return 'The clock was not set back.';
  const message = `The clock says ${now.toISOString()}, but the audit log has an entry from ${new Date(last.atMs).toISOString()}. Correct the clock, or certificates will end at the wrong time.`;
  return [{ check: 'clock', verdict: 'problem', message }];
}

async function examineAudit(registry: RegistryReader): Promise<string | Finding[]> {
  const verdict = await verifyAudit(registry);
  if (verdict.ok) return `The ${verdict.rows} rows of the audit chain are intact, and the tables match them.`;
  if (verdict.differences.length > 0)
    return verdict.differences.map((difference) => ({
      check: 'audit',
      verdict: 'problem' as const,
      message: `${describeDifference(difference)}. Something other than the daemon changed the registry: compare it with a backup.`,
    }));
  throw new IdentityError(
    'AUDIT_BROKEN',
    `The audit chain is broken: ${verdict.problem}. Something other than the daemon changed the registry: compare it with a backup.`,
  );
}

async function examineAuthorities(
  registry: RegistryReader,
  keys: AuthorityKeyReader | undefined,
  now: Date,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const add = (
    verdict: Finding['verdict'],
    message: string,
    error: Pick<Finding, 'code' | 'fields'> = {},
  ) => {
    const finding: Finding = { check: 'authority', verdict, message, ...error };
    findings.push(finding);
  };
  for (const each of await registry.authorities()) {
    if (each.state === 'retired' || (each.tier === 'issuing' && each.state !== 'active')) continue;
    const name = `The ${each.state} ${each.tier} CA ${each.fingerprint.slice(0, 16)}`;
    const left = each.notAfter.getTime() - now.getTime();
    if (keys && !(await hasKey(keys, each.id))) {
      add(
        'problem',
        `${name} has no key in ${keys.place.provider === 'pkcs11' ? 'the token. Restore the token from its own backup' : 'the secret store. Restore both from one backup'}.`,
      );
    } else if (each.notBefore > now) {
      add(
        'problem',
        `${name} begins at ${each.notBefore.toISOString()}, and the clock says ${now.toISOString()}. If the clock is wrong, set it.`,
        { code: 'CERTIFICATE_NOT_YET_VALID', fields: { about: 'root' } },
      );
    } else if (left <= 0) {
      if (each.tier === 'root')
        add('problem', `${name} has ended.`, { code: 'CERTIFICATE_EXPIRED', fields: { about: 'root' } });
      else add('problem', `${name} has ended. Start the daemon: it makes a new one.`);
    } else if (each.tier === 'root' && left < 365 * day) {
      add('warning', `${name} ends in ${Math.floor(left / day)} days.`, {
        code: 'CERTIFICATE_EXPIRED',
        fields: { about: 'old_root' },
      });
    } else add('ok', `${name} is valid until ${each.notAfter.toISOString().slice(0, 10)}.`);
  }
  return findings;
}

async function hasKey(keys: AuthorityKeyReader, id: Ulid): Promise<boolean> {
  try {
    await keys.load(id);
    return true;
  } catch (error) {
    if (hasCode(error, 'SECRET_NOT_FOUND')) return false;
    throw error;
  }
}

async function examineRestore(registry: RegistryReader): Promise<string | Finding[]> {
  const restored = await readRestored(registry);
  if (!restored) return 'This home was never restored from a backup.';
  const { atMs, madeAtMs } = restored;
  const [at, madeAt] = [new Date(atMs).toISOString(), new Date(madeAtMs).toISOString()];
  const message = `Restored at ${at} from a backup of ${madeAt}. Devices paired in between are unknown here, and must pair again.`;
  return [{ check: 'restore', verdict: 'warning', message }];
}
