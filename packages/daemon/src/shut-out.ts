// A backup is the past: what was shut out since it was made is taken over from the registry that it replaces.

import {
  type CertificateRecord,
  type Device,
  type DeviceId,
  type IdentityManager,
  listedAfterEndMs,
  type Registry,
  type Revocation,
} from '@palyra/identity';

const pageSize = 1000;

/**
 * Revoked and quarantined devices, revoked certificates, the operator's role where it was taken away, and identity keys
 * that another took the place of.
 * @param before the registry that is replaced.
 * @returns the devices that were revoked again.
 */
export async function shutOutAgain(identity: IdentityManager, before: Registry): Promise<DeviceId[]> {
  const revoked: DeviceId[] = [];
  await identity.revocationLists.continueFrom(before);
  for await (const device of devicesOf(before)) {
    const known = await identity.registry.device(device.id);
    // One that was paired and revoked since is unknown here, and nothing of it will be accepted.
    if (!known || known.state === 'revoked') continue;
    if (!sameBytes(known.identityKey, device.identityKey))
      await identity.replaceIdentityKey(device.id, device.identityKey);
    else if (device.role === 'device' && known.role === 'operator')
      await identity.setDeviceRole(device.id, 'device');
    if (device.state === 'quarantined') await quarantineAgain(identity, device);
    if (device.state !== 'revoked') continue;
    await identity.revokeDevice(device.id, device.revocationReason ?? 'revoked before the restore');
    revoked.push(device.id);
  }
  const listedFrom = identity.clock.now().getTime() - listedAfterEndMs;
  for (const revocation of await before.revocations({ limit: Number.MAX_SAFE_INTEGER })) {
    const { serial, reason } = revocation;
    const certificate = serial === undefined ? undefined : await before.certificate({ serial });
    if (!certificate || certificate.notAfter.getTime() < listedFrom) continue;
    if (await identity.registry.certificate({ serial: certificate.serial }))
      await identity.revokeCertificate(certificate.serial, reason);
    else await listAgain(identity.registry, certificate, revocation);
  }
  return revoked;
}

/** Where nobody can say whose role was taken since, it is given anew. */
export async function takeEveryRole(identity: IdentityManager): Promise<void> {
  for await (const { id, role } of devicesOf(identity.registry))
    if (role === 'operator') await identity.setDeviceRole(id, 'device');
}

async function quarantineAgain(
  { registry, clock }: IdentityManager,
  { id, cloneSeenAt }: Device,
): Promise<void> {
  await registry.transact(async (tx) => {
    const known = await tx.device(id);
    if (known?.state !== 'approved' && known?.state !== 'active') return;
    await tx.updateDevice({ ...known, state: 'quarantined', cloneSeenAt });
    await tx.appendAudit({
      at: clock.now(),
      action: 'device.quarantined',
      subject: id,
      detail: { restore: true },
    });
  });
}

/** From after the backup: refused as unknown here, but programs that read revocation lists must be told. */
async function listAgain(
  registry: Registry,
  certificate: CertificateRecord,
  revocation: Revocation,
): Promise<void> {
  const { issuerId, serial } = certificate;
  await registry.transact(async (tx) => {
    const isIssuerKnown = (await tx.authorities()).some(({ id }) => id === issuerId);
    if (!isIssuerKnown || !(await tx.device(revocation.deviceId))) return;
    await tx.insertCertificate({ ...certificate, state: 'revoked' });
    await tx.insertRevocation(revocation);
    await tx.appendAudit({
      at: revocation.at,
      action: 'certificate.revoked',
      subject: serial,
      detail: { device: revocation.deviceId, reason: revocation.reason },
    });
  });
}

async function* devicesOf(registry: Registry): AsyncIterable<Device> {
  for (let after = ''; ; ) {
    const page = await registry.devices({ limit: pageSize, ...(after && { after }) });
    yield* page;
    if (page.length < pageSize) return;
    after = page.at(-1)!.id;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}
