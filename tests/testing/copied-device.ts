// A device, its copy, and the daemon's reports of a possible copy.

import type { TestContext } from 'node:test';
import { createClient } from '@connectrpc/connect';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { type PairedEnrollment, renewCertificate } from '@palyra/identity/device';
import { dialNode, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { expectCode } from './expect-code.ts';
import { HeldClock, minute } from './held-clock.ts';
import { TestDaemon, type TestDaemonOptions } from './running-daemon.ts';
import { makeDevice, pair } from './sample-device.ts';

export const quic = createQuic();
export const transports = ['http2', 'quic'] as const;
export type Transport = (typeof transports)[number];
export const limits = { cloneReportMs: 10 * minute };

export async function dial(daemon: TestDaemon, transport: Transport, enrollment: PairedEnrollment) {
  const connection =
    transport === 'http2'
      ? await dialNode(enrollment.nodeAddress, enrollment)
      : await dialNodeQuic(quic, enrollment);
  daemon.closeAtEnd(connection);
  return Object.assign(createClient(NodeService, connection.transport), { closed: connection.closed });
}

export const serialOf = ({ certificateChain }: PairedEnrollment) =>
  readPeerCertificate(certificateChain[0]!).serial;

/** A device on its second certificate, and the contents of an earlier copy. */
export async function copied(t: TestContext, transport: Transport, options: TestDaemonOptions = {}) {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { clock, limits, ...options });
  const device = await makeDevice({ clock });
  const old = await pair(daemon, device);
  const first = await dial(daemon, transport, old);
  const renewed = await renewCertificate(device, old, (proof) => first.renew(proof));
  const live = await dial(daemon, transport, renewed);
  await live.status({});
  const id = device.identity.id;
  /** The copy makes a call. */
  const knock = async (code: Parameters<typeof expectCode>[1] = 'CERTIFICATE_SUPERSEDED') =>
    expectCode((await dial(daemon, transport, old)).status({}), code);
  const shown = async () => (await daemon.admin.getDevice({ id })).device!;
  const reports = async () => {
    const { entries } = await daemon.admin.listAudit({ subject: serialOf(old), limit: 100 });
    return entries.filter(({ action }) => action === 'certificate.reused');
  };
  return { clock, daemon, device, id, old, renewed, live, knock, shown, reports };
}

export const suspicions = (daemon: TestDaemon) =>
  daemon.events.filter((event) => event.type === 'clone_suspected');
