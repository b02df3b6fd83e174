// The data that tests put into a registry, and the reads that return all of it.

import type { Pairing, Registry, RegistryTransaction } from '@palyra/identity/registry';
import {
  type addDevice,
  NOW,
  revokedDevice,
  sampleAuthority,
  sampleCertificate,
  sampleDevice,
  sampleEvent,
  waitingPairing,
} from '../samples.ts';

export async function insertDevices(
  registry: Registry,
  ...devices: Parameters<RegistryTransaction['insertDevice']>[0][]
) {
  await registry.transact(async (tx) => {
    for (const device of devices) await tx.insertDevice(device);
  });
}

export async function insertPairings(registry: Registry, ...pairings: Pairing[]) {
  await registry.transact(async (tx) => {
    for (const pairing of pairings) await tx.insertPairing(pairing);
  });
}

export async function everything(registry: Registry) {
  return {
    devices: await registry.devices({ limit: 100 }),
    authorities: await registry.authorities(),
    pairings: await registry.pairings({ limit: 100 }),
    revocations: await registry.revocations({ limit: 100 }),
    setting: await registry.setting('everything'),
    counts: await registry.counts(),
    audit: await registry.audit({ limit: 100 }),
    head: await registry.auditHead(),
  };
}

/** Calls every method that changes something, once. */
export async function doEverything(
  tx: RegistryTransaction,
  { device, certificate, waiting }: Awaited<ReturnType<typeof addDevice>> & { waiting: Pairing },
): Promise<void> {
  const authority = sampleAuthority();
  await tx.insertAuthority(authority);
  await tx.moveAuthority(certificate.issuerId, 'active', 'retired');
  await tx.insertDevice(sampleDevice());
  await tx.updateDevice(revokedDevice(device));
  await tx.insertCertificate(sampleCertificate({ device: device.id, issuer: authority.id }));
  await tx.moveCertificate(certificate.serial, 'active', 'revoked');
  await tx.insertPairing(waitingPairing());
  await tx.replacePairing(waiting, { ...waiting, guessesLeft: 1 });
  await tx.insertRevocation({ at: NOW, deviceId: device.id, serial: undefined, reason: 'lost' });
  await tx.putSetting('everything', 'done');
  await tx.appendAudit(sampleEvent());
  tx.emit({ type: 'device_revoked', deviceId: device.id, reason: '' });
}
