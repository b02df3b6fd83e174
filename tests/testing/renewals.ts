// Renewals and recoveries, over the connections that devices use.

import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  type PairedEnrollment,
  type RenewingDevice,
  recoverCertificate,
  renewCertificate,
} from '@palyra/identity/device';
import { dialPairing, recoveryPeer } from '@palyra/rpc';
import { certificateStates } from '@palyra/rpc/admin';
import type { TestDaemon } from './running-daemon.ts';
import type { SampleDevice } from './sample-device.ts';

export const serialOf = (enrollment: PairedEnrollment) =>
  readPeerCertificate(enrollment.certificateChain[0]!).serial;

/** Renews over a connection of the present certificate. */
export async function renew(daemon: TestDaemon, device: RenewingDevice, enrollment: PairedEnrollment) {
  const node = await daemon.node(enrollment);
  return renewCertificate(device, enrollment, (proof) => node.renew(proof));
}

export async function recover(daemon: TestDaemon, device: RenewingDevice, enrollment: PairedEnrollment) {
  const connection = await dialPairing(enrollment.address, enrollment);
  daemon.closeAtEnd(connection);
  return recoverCertificate(device, enrollment, recoveryPeer(connection));
}

export async function statesOf(daemon: TestDaemon, device: SampleDevice): Promise<Record<string, string>> {
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  return Object.fromEntries(certificates.map(({ serial, state }) => [serial, certificateStates.show(state)]));
}
