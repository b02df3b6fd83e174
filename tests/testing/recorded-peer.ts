// Makes the pairing calls as bytes on one TLS channel, and records the shape of every answer: everything that a
// stranger can measure without the code.

import http2 from 'node:http2';
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import type { PairingPeer } from '@palyra/identity/device';
import { fromConnectError, PairingService } from '@palyra/rpc';
import { deviceKinds } from '@palyra/rpc/admin';
import { exportChannelBinding } from '@palyra/rpc/transport';
import { bareSocket } from './bare-tls.ts';
import { frame, type RawAnswer, rawCall } from './raw-call.ts';
import type { TestDaemon } from './running-daemon.ts';

/** Everything about an answer except its random values. */
export interface RecordedAnswer {
  readonly call: string;
  /** Name and length of each present field. */
  readonly fields: Readonly<Record<string, number>>;
  readonly bodyBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
}

export interface RecordedPeer
  extends Pick<PairingPeer, 'channelBinding' | 'isKnownDaemon' | 'open' | 'exchange' | 'confirm'> {
  await: PairingPeer['await'];
  readonly recorded: RecordedAnswer[];
}

export async function recordedPeer(daemon: TestDaemon): Promise<RecordedPeer> {
  const socket = await bareSocket(daemon.pairingAddress, { rejectUnauthorized: false });
  const session = http2.connect(`https://${daemon.pairingAddress}`, { createConnection: () => socket });
  daemon.closeAtEnd({
    close: () => session.destroy(),
    closed: new Promise((resolve) => session.once('close', () => resolve(undefined))),
  });
  const recorded: RecordedAnswer[] = [];
  const { open, exchange, confirm } = PairingService.method;

  async function call<Output extends DescMessage>(
    method: { readonly name: string; readonly output: Output },
    message: Uint8Array,
  ): Promise<MessageShape<Output>> {
    const answer = await rawCall(session, `/${PairingService.typeName}/${method.name}`, frame(message));
    const payload = answer.data.subarray(5);
    const reply = fromBinary(method.output, payload) as MessageShape<Output>;
    recorded.push({
      call: method.name,
      fields: payload.length === 0 ? {} : fieldLengths(reply),
      bodyBytes: answer.data.length,
      headers: withoutDate(answer.headers),
      trailers: withoutDate(answer.trailers),
    });
    throwRefusal(answer);
    return reply;
  }

  return {
    recorded,
    channelBinding: exportChannelBinding(socket),
    isKnownDaemon: false,
    async open({ version, slot, kind }) {
      const reply = await call(
        open,
        toBinary(open.input, create(open.input, { version, slot, clientKind: deviceKinds.toWire(kind) })),
      );
      return { ...reply, expiresAt: new Date(Number(reply.expiresAtMs)) };
    },
    exchange: (request) => call(exchange, toBinary(exchange.input, create(exchange.input, request))),
    confirm: (request) => call(confirm, toBinary(confirm.input, create(confirm.input, request))),
    await: () => {
      throw new TypeError('this peer records the handshake only');
    },
  };
}

function fieldLengths(message: object): Record<string, number> {
  return Object.fromEntries(
    Object.entries(message)
      .filter(([name]) => name !== '$typeName')
      .map(([name, value]) => [name, value instanceof Uint8Array ? value.length : String(value).length]),
  );
}

function withoutDate({ date: _, ...rest }: Readonly<Record<string, string>>): Record<string, string> {
  return rest;
}

/** Throws a gRPC status other than OK like the client library. */
function throwRefusal({ headers, trailers }: RawAnswer): void {
  const { ':status': _, ...named } = headers;
  const error = findTrailerError(new Headers({ ...named, ...trailers }));
  if (error) throw fromConnectError(error);
}
