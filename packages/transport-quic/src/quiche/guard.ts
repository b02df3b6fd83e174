// Three faults of the library, measured on 0.9.0, by which a peer could end the process, fill its memory or stop its own
// connection:
// - data of a stream that is over on this side, because it was reset here or the peer will not read it, becomes a stream
//   that nobody is told of. It keeps all that the peer sends on it, and its error has no listener.
// - a stream that the peer will not read (STOP_SENDING) while bytes wait for it is tried again, and fails again, with
//   every packet. After some fifty of them nothing else gets its turn any more.
// - the error of a session whose handshake is not done has no listener. Nor does anybody hear of such a session: the server
//   tells of it here, by its event `handshake`.
// All are in methods that are private; a version without them fails here, not in silence.

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

/** Before the library's first session. */
export function guardLibrary({ QuicServer, QuicClientSession }: Library): void {
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
  const methods = prototype as Record<string, unknown>;
  const inner = methods[method];
  if (typeof inner !== 'function') throw new TypeError(`this version of the QUIC library hides ${method}`);
  methods[method] = function (this: T, event: Event) {
    around(this, event, () => inner.call(this, event));
  };
}
