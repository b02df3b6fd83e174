// Every change of the registry is a step at which the daemon may die. New devices and certificates
// are recorded once they are durable.

import type { Registry, RegistryTransaction } from '@palyra/identity/registry';
import type { Invariants } from './invariants.ts';
import type { Mortal } from './mortal.ts';

export function watchChanges(registry: Registry, process: Mortal, invariants: Invariants): void {
  const transact = registry.transact.bind(registry);
  registry.transact = <T>(work: (tx: RegistryTransaction) => Promise<T>): Promise<T> =>
    process.step(async () => {
      const notes: (() => void)[] = [];
      const result = await transact((tx) => work(noting(tx, notes, invariants)));
      for (const note of notes) note();
      return result;
    });
}

function noting(tx: RegistryTransaction, notes: (() => void)[], invariants: Invariants): RegistryTransaction {
  const insertDevice = tx.insertDevice.bind(tx);
  tx.insertDevice = async (device) => {
    await insertDevice(device);
    notes.push(() => invariants.deviceInserted(device.id));
  };
  const insertCertificate = tx.insertCertificate.bind(tx);
  tx.insertCertificate = async (certificate) => {
    await insertCertificate(certificate);
    notes.push(() => invariants.issued(certificate));
  };
  const insertAuthority = tx.insertAuthority.bind(tx);
  tx.insertAuthority = async (authority) => {
    await insertAuthority(authority);
    notes.push(() => invariants.authorityMade(authority));
  };
  const moveCertificate = tx.moveCertificate.bind(tx);
  tx.moveCertificate = async (serial, from, to) => {
    const moved = await moveCertificate(serial, from, to);
    if (moved && to === 'active') notes.push(() => invariants.activated(serial));
    return moved;
  };
  return tx;
}
