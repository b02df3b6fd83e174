// Checks that the registry and the secret store belong to the same daemon.

import type { Ulid } from '../device-id.ts';
import { IdentityError } from '../errors.ts';
import type { RegistryReads } from '../registry/port.ts';
import type { SecretReader, SharedSecretStore } from '../secret-store/port.ts';

/** Holds the daemon's id once the first start is complete: tells a lost or foreign registry from a new home. */
const createdMarker = 'daemon/created';

/** The daemon that owns a secret store; undefined before its first start was complete. */
export async function daemonOf(secrets: SecretReader): Promise<string | undefined> {
  if ((await secrets.list(createdMarker)).length === 0) return undefined;
  return new TextDecoder().decode(await secrets.read(createdMarker));
}

/** Records that the first start of this daemon is complete. */
export async function markCreated(secrets: SharedSecretStore, daemonId: Ulid): Promise<void> {
  await secrets.writeNew(createdMarker, new TextEncoder().encode(daemonId));
}

/**
 * @returns the daemon's id.
 * @throws REGISTRY_LOST if the registry is empty, or belongs to another daemon than the secrets.
 */
export async function mustBelongTogether(
  secrets: SecretReader,
  registry: Pick<RegistryReads, 'setting'>,
): Promise<string> {
  const [made, present] = [await daemonOf(secrets), await registry.setting('daemon_id')];
  if (made !== undefined && made === present) return made;
  throw registryLost(present, made);
}

/** @param present the daemon of the registry. @param made the daemon of the secrets. */
export function registryLost(present: string | undefined, made: string | undefined): IdentityError {
  const what =
    present !== undefined && made !== undefined
      ? `The secret store belongs to the daemon ${made}, and the registry beside it to another one, ${present}.`
      : present !== undefined
        ? `The registry belongs to the daemon ${present}, and the secret store beside it to none: it is lost.`
        : 'The secret store belongs to a daemon, but the registry beside it is lost: it is empty or incomplete.';
  return new IdentityError('REGISTRY_LOST', what);
}
