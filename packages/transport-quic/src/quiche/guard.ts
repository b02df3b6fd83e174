// Three faults of the library, measured on 0.9.0, by which a peer could end the process, fill its memory or stop its own
// connection:
// - data of a stream that is over on this side, because it was reset here or the peer will not read it, becomes a stream
//   that nobody is told of. It keeps all that the peer sends on it, and its error has no listener.
// - a stream that the peer will not read (STOP_SENDING) while bytes wait for it is tried again, and fails again, with
//   every packet. After some fifty of them nothing else gets its turn any more.
// - the error of a session whose handshake is not done has no listener. Nor does anybody hear of such a session: the server
//   tells of it here, by its event `handshake`.
// And one word that it does not say: when a client's handshake was done (`watchHandshake`).
// All are in methods and fields that are private; a version without them fails here, when it is loaded, and not in silence.

import type { QuicClientSession } from '@currentspace/http3';
import { toCloseNumber } from '@palyra/rpc/transport';

type Library = typeof import('@currentspace/http3');

interface Event {
  readonly connHandle: number;
  /** Below 0: of no stream. */
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

/** Before the library's first session. @throws TypeError for a version that works in another way. */
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
 * The library says that it is ready some turns after the handshake, and never if the server has closed by then. Whose
 * alert ended the connection can only be told from this: before, it is the client that refuses; after, the server.
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
