// soak.connections: whether the memory of a daemon grows with connections that come and go.

import tls from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { dialNode, type NodeConnection, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { dialNodeWeb } from '@palyra/transport-websocket';
import { credentialOf } from '../../tests/testing/bare-tls.ts';
import { tlsEndings } from '../../tests/testing/endings.ts';
import { BenchDaemon } from '../daemon-process.ts';
import type { DaemonReady } from '../daemon-server.ts';
import type { Figures, Progress } from '../measure.ts';
import { growthFigure, growthOf, growthsOf } from './growth.ts';

const all = 200_000;
/** And as many devices, because a busy daemon notices later than a device that a connection is gone. */
const lanes = 8;

type Connection = () => Promise<unknown>;

/** The connections of each kind, which take turns. */
const kinds: Readonly<Record<string, (ready: DaemonReady) => readonly Connection[]>> = {
  http2({ devices, addresses }) {
    const { enrollment } = devices[0]!;
    const secureContext = tls.createSecureContext({ ...credentialOf(enrollment), minVersion: 'TLSv1.3' });
    const raw = { address: addresses.node!, secureContext };
    return [
      () => call(dialNode(enrollment.nodeAddress, enrollment)),
      () => tlsEndings['closed in order'](raw),
      () => tlsEndings['reset after the preface'](raw),
      () => tlsEndings.GOAWAY(raw),
    ];
  },
  quic({ devices }) {
    const quic = createQuic();
    return devices.map(
      ({ enrollment }) =>
        () =>
          call(dialNodeQuic(quic, enrollment)),
    );
  },
  pairing({ addresses }) {
    const raw = {
      address: addresses.pairing!,
      secureContext: tls.createSecureContext({ minVersion: 'TLSv1.3' }),
    };
    return Object.values(tlsEndings).map((end) => () => end(raw));
  },
  websocket({ devices }) {
    return devices.map(
      ({ enrollment }) =>
        () =>
          call(dialNodeWeb(enrollment)),
    );
  },
};

export async function soakConnections(progress: Progress): Promise<Figures> {
  const works = Object.fromEntries(
    Object.entries(kinds).map(([kind, connectionsOf]) => [
      kind,
      async (name: string) => {
        const daemon = await BenchDaemon.start(lanes, { config: { limits: { strangersPerSource: 1_000 } } });
        const connections = connectionsOf(daemon.ready);
        const measured = { memory: () => daemon.ask('memory'), resident: () => daemon.residentBytes() };
        const round = (index: number) => connections[index % connections.length]!();
        const growth = await growthOf(measured, { name, all, lanes, round }, progress);
        await daemon.stop();
        return growth;
      },
    ]),
  );
  return growthFigure(await growthsOf(works, progress), {
    figure: 'soak.connections',
    what: 'connections that come and go, of devices on three transports and of strangers on the pairing listener',
    title: 'Memory while connections come and go, by listener',
  });
}

async function call(dialling: Promise<NodeConnection>): Promise<void> {
  const connection = await dialling;
  await createClient(NodeService, connection.transport).status({});
  connection.close();
  await connection.closed;
}
