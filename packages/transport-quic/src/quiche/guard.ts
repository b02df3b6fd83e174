// Works around four faults of the library, measured on 0.9.0. With them a peer could end the process, fill its memory or stall
// its own connection:
// - A stream ends on this side when we reset it or the peer refuses to read it. Data that arrives later makes the library
//   create a stream that it never reports. That stream keeps all the data, and its error has no listener.
// - When the peer refuses to read a stream (STOP_SENDING) that still has bytes to send, the library retries the stream with every
//   packet and fails each time. After some fifty such streams, no other stream makes progress.
// - The error of a session has no listener until the handshake is done. The library does not report such a session either, so
//   this file makes the server emit the event `handshake`.
// - Errors of streams whose connection has just gone become errors of the server, although they concern nobody.
// This file also reports when a client's handshake was done (`watchHandshake`), which the library does not.
// The workarounds use private methods and fields. A version of the library without them is refused when it is loaded.

import type { QuicClientSession } from '@currentspace/http3';
import { toCloseNumber } from '@palyra/rpc/portable';

type Library = typeof import('@currentspace/http3');

interface Event {
  readonly connHandle: number;
  /** Below 0 when the event belongs to no stream. */
  readonly streamId: number;
  readonly meta?: { readonly errorReason?: string };
}

interface Streams {
  readonly _streams: ReadonlyMap<number, unknown>;
}

interface Client extends Streams {
  readonly _eventLoop: { streamClose(streamId: number, code: number): void } | null;
}

interface Server extends NodeJS.EventEmitter {
  readonly _sessions: ReadonlyMap<number, Streams & NodeJS.EventEmitter>;
  readonly _eventLoop: { streamClose(connection: number, streamId: number, code: number): void } | null;
}

/** Must run before the library's first session. @throws TypeError for a version that works differently. */
export function guardLibrary({ QuicServer, QuicServerSession, QuicClientSession }: Library): void {
  expectMap(Reflect.construct(QuicServer, [{}]), '_sessions');
  expectMap(Reflect.construct(QuicServerSession, [0, '', 0, null]), '_streams');
  expectMap(Reflect.construct(QuicClientSession, []), '_streams');
  expectMethod(QuicClientSession.prototype, '_scheduleHandshakeReady');
  wrap<Server>(QuicServer, '_onData', (server, event, inner) => {
    if (server._sessions.get(event.connHandle)?._streams.has(event.streamId)) inner();
  });
  wrap<Client>(QuicClientSession, '_onData', (session, event, inner) => {
    if (session._streams.has(event.streamId)) inner();
  });

  const code = toCloseNumber('CANCELLED');
  wrap<Server>(QuicServer, '_onError', (server, event, inner) => {
    if (event.streamId >= 0 && !server._sessions.has(event.connHandle)) return;
    inner();
    if (isUnwritable(event)) server._eventLoop?.streamClose(event.connHandle, event.streamId, code);
  });
  wrap<Client>(QuicClientSession, '_onError', (session, event, inner) => {
    inner();
    if (isUnwritable(event)) session._eventLoop?.streamClose(event.streamId, code);
  });

  wrap<Server>(QuicServer, '_onNewSession', (server, event, inner) => {
    inner();
    const session = server._sessions.get(event.connHandle);
    if (!session) return;
    session.on('error', () => {});
    server.emit('handshake', session);
  });
}

const isUnwritable = ({ streamId, meta }: Event) =>
  streamId >= 0 && meta?.errorReason?.startsWith('stream_writable failed') === true;

function wrap<T>(
  { prototype }: { prototype: object },
  method: string,
  around: (self: T, event: Event, inner: () => void) => void,
): void {
  const inner = expectMethod(prototype, method);
  Reflect.set(prototype, method, function (this: T, event: Event) {
    around(this, event, () => inner.call(this, event));
  });
}

/**
 * The library reports a session as ready some turns after the handshake, and never if the server has closed by then. Only the end
 * of the handshake tells which side sent the alert that ended the connection: before it the client refuses, after it the
 * server.
 */
export function watchHandshake(session: QuicClientSession): { readonly done: boolean } {
  const inner = expectMethod(session, '_scheduleHandshakeReady');
  const handshake = { done: false };
  Reflect.set(session, '_scheduleHandshakeReady', () => {
    handshake.done = true;
    inner.call(session);
  });
  return handshake;
}

function expectMethod(object: object, method: string) {
  const found: unknown = Reflect.get(object, method);
  if (typeof found !== 'function') throw hidden(method);
  return found;
}

function expectMap(object: object, field: string): void {
  if (!(Reflect.get(object, field) instanceof Map)) throw hidden(field);
}

const hidden = (what: string) => new TypeError(`this version of the QUIC library hides ${what}`);
