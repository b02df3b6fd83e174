// The server side of QUIC over @currentspace/http3.

import type {
  QuicStream as LibraryStream,
  QuicServer,
  QuicServerOptions,
  QuicServerSession,
} from '@currentspace/http3';
import { IdentityError } from '@palyra/identity';
import { MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES } from '@palyra/identity/certificate';
import { afterRefusal } from '@palyra/identity/device';
import { type Link, LinkedList } from '@palyra/identity/portable';
import {
  closedNormally,
  resolveStreamLimits,
  type ServerConnection,
  type SessionBytes,
  type StreamLimits,
  toCloseNumber,
  toCloseReason,
  UnfinishedBytes,
} from '@palyra/rpc/portable';
import { type Admission, drained, type StreamListener, startAdmission } from '@palyra/rpc/transport';
import type { QuicListenOptions } from '../contract.ts';
import { encodeGoaway } from '../goaway.ts';
import { keyBytes, keyStreamId, Sealer } from '../sealed.ts';
import { closeReason, connectionGone, lossOf, tlsConfigError } from './close-reason.ts';
import { HandshakeWatch } from './handshake-watch.ts';
import { loadLibrary, withScratchFolder } from './library.ts';
import { alpn, type QuicheRuntime, runtimeOptions } from './runtime.ts';
import { QuicheStream } from './stream.ts';
import { portIsFree, tryBind } from './udp-port.ts';

/** Time for a client to close the connection itself after it was told the reason, ms. */
const goawayGraceMs = 200;

export async function listen(options: QuicListenOptions, runtime: QuicheRuntime): Promise<StreamListener> {
  const library = loadLibrary();
  const limits = resolveStreamLimits(options.limits);
  // Check the port first, because a library that fails to bind keeps the process alive for ever.
  const unbindable = await tryBind(options.host, options.port);
  if (unbindable) throw cannotListen(options, unbindable);

  const server = library.createQuicServer(serverOptions(options, runtime));
  server.on('error', (error) => options.onError?.(error));
  const listener = new QuicheListener(server, options, limits);
  try {
    // The library writes and reads its files before its first await.
    await withScratchFolder((written) => {
      const listening = server.listen(options.port, options.host);
      written();
      return listening;
    });
  } catch (cause) {
    listener.stopWatching();
    throw tlsConfigError(cause) ?? cannotListen(options, cause);
  }
  return listener;
}

/** Options for the library. */
export function serverOptions(
  options: Pick<QuicListenOptions, 'tls' | 'limits' | 'migration' | 'dangerouslySkipAddressValidation'>,
  runtime: QuicheRuntime,
): QuicServerOptions {
  const limits = resolveStreamLimits(options.limits);
  return {
    cert: options.tls.certificateChain,
    key: options.tls.privateKey,
    ca: options.tls.clientRoots,
    clientAuth: 'require',
    alpn: [alpn],
    maxConnections: limits.maxConnections + limits.maxHandshakes,
    initialMaxStreamsBidi: limits.maxStreams,
    maxIdleTimeoutMs: limits.idleTimeoutMs,
    disableActiveMigration: options.migration !== 'follow',
    disableRetry: options.dangerouslySkipAddressValidation === true,
    ...runtimeOptions(runtime),
  };
}

function cannotListen({ host, port }: QuicListenOptions, cause: unknown): IdentityError {
  return new IdentityError('UNREACHABLE', `QUIC cannot listen on ${host} port ${port}.`, { cause });
}

class QuicheListener implements StreamListener {
  readonly #server: QuicServer;
  readonly #options: QuicListenOptions;
  readonly #limits: StreamLimits;
  readonly #unfinished: UnfinishedBytes;
  /** Includes closed connections that the client has not left yet. */
  readonly #connections = new Set<QuicheServerConnection>();
  #live = 0;
  readonly #handshakes: HandshakeWatch;
  #draining: IdentityError | undefined;

  constructor(server: QuicServer, options: QuicListenOptions, limits: StreamLimits) {
    this.#server = server;
    this.#options = options;
    this.#limits = limits;
    this.#unfinished = options.unfinished ?? new UnfinishedBytes();
    this.#handshakes = new HandshakeWatch(server, limits, (reason) => options.onRefused?.(reason));
    server.on('session', (session) => this.#accept(session));
  }

  get host(): string {
    return this.#server.address()!.address;
  }

  get port(): number {
    return this.#server.address()!.port;
  }

  get connectionCount(): number {
    return this.#live;
  }

  stopWatching(): void {
    this.#handshakes.stop();
  }

  async close(error?: IdentityError, until?: AbortSignal): Promise<void> {
    const { host, port } = this;
    if (until) {
      this.#draining = error ?? connectionGone();
      for (const connection of this.#connections) connection.drain(this.#draining);
      await drained(this.#connections, until);
    }
    this.stopWatching();
    for (const connection of this.#connections) connection.cut(error);
    await this.#server.close();
    await portIsFree(host, port);
  }

  #accept(session: QuicServerSession): void {
    this.#handshakes.done(session);
    const chain = session.getPeerCertificateChain().map(({ raw }) => raw);
    const connection = new QuicheServerConnection(session, chain, this.#unfinished.of(session));
    // The library refuses such a connection. This check is a second defence.
    if (chain.length === 0) {
      connection.cut(new IdentityError('CERTIFICATE_MISSING', 'The daemon requires a certificate.'));
      return;
    }
    if (!isShort(chain)) {
      connection.cut(new IdentityError('CERTIFICATE_INVALID', 'The certificate chain is too long.'));
      return;
    }
    if (this.#live >= this.#limits.maxConnections) {
      this.#options.onRefused?.('limit');
      connection.cut(
        new IdentityError(
          'TOO_MANY_SESSIONS',
          'The daemon has reached its limit of connections. Try again later.',
        ),
      );
      return;
    }
    this.#connections.add(connection);
    this.#live += 1;
    void connection.closed.then(() => (this.#live -= 1));
    session.once('close', () => this.#connections.delete(connection));
    connection.start(this.#options, this.#limits);
    if (this.#draining) connection.drain(this.#draining);
  }
}

class QuicheServerConnection implements ServerConnection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly peerChain: readonly Uint8Array[];
  readonly unfinished: SessionBytes;
  readonly closed: Promise<IdentityError | undefined>;
  readonly #session: QuicServerSession;
  readonly #streams = new LinkedList<QuicheStream>();
  #settle!: (error: IdentityError | undefined) => void;
  #failure: IdentityError | undefined;
  #admission: Admission | undefined;
  /** The client's key. */
  #key: Uint8Array | undefined;
  readonly #keyed = Promise.withResolvers<void>();
  #grace: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(session: QuicServerSession, peerChain: readonly Uint8Array[], unfinished: SessionBytes) {
    this.unfinished = unfinished;
    this.remoteAddress = session.remoteAddress;
    this.remotePort = session.remotePort;
    this.peerChain = peerChain;
    this.#session = session;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    session.on('error', () => {});
    // Includes the streams of a connection that is not served.
    session.on('stream', (stream) => stream.on('error', () => {}));
    session.on('close', (info) => {
      this.#isClosed = true;
      clearTimeout(this.#grace);
      this.#gone(closeReason(info));
    });
  }

  start(options: QuicListenOptions, limits: StreamLimits): void {
    const admission = startAdmission(this, options, limits.handshakeTimeoutMs);
    this.#admission = admission;
    const late = setTimeout(() => this.close(keyMissing()), limits.handshakeTimeoutMs).unref();
    void Promise.race([this.#keyed.promise, this.closed]).then(() => clearTimeout(late));
    this.#session.on('stream', (raw) => {
      if (raw.id === keyStreamId) {
        void this.#takeKey(raw);
        return;
      }
      let sealer: Sealer | undefined;
      let link: Link<QuicheStream> | undefined;
      const stream = new QuicheStream(
        raw,
        limits.maxUnreadBytes,
        () => lossOf(this.closed),
        () => this.#streams.remove(link),
        {
          held: this.unfinished.call(),
          seal: (bytes) => {
            sealer ??= this.#sealerOf(raw.id);
            return sealer.seal(bytes);
          },
        },
      );
      if (this.#failure) {
        stream.fail(this.#failure);
        return;
      }
      link = this.#streams.add(stream);
      // The library has no option to forbid unidirectional streams (RFC 9000 2.1: bit 2 of the id).
      if ((raw.id & 3) === 0) void this.#keyed.promise.then(() => admission.offer(stream));
      else this.close(new IdentityError('MESSAGE_INVALID', 'Only bidirectional streams carry calls.'));
    });
  }

  /** See Admission. */
  drain(error: IdentityError): void {
    this.#admission?.drain(error);
  }

  shut(error: IdentityError): void {
    if (this.#admission) this.#admission.shut(error);
    else this.close(error);
  }

  /** Stops serving. The connection itself ends when the client has read the reason, or after a short time. */
  close(error?: IdentityError): void {
    if (this.#failure) return;
    if (!error) {
      this.cut();
      return;
    }
    // Set first, so that the connection ends even if a later step fails. A client that allows no server stream learns of this alone.
    this.#grace = setTimeout(() => this.cut(error), goawayGraceMs).unref();
    this.#gone(error);
    void this.#keyed.promise
      .then(() => {
        if (this.#isClosed) return;
        // An error may mean that the client has closed the connection already. A close of ours could then reach another connection
        // (sealed.ts), so the timer alone ends this one.
        const stream = this.#session.openStream().on('error', ignore).resume();
        stream.end(this.#sealerOf(stream.id).seal(encodeGoaway(error)));
      })
      .catch(ignore);
  }

  async #takeKey(raw: LibraryStream): Promise<void> {
    const stream = new QuicheStream(
      raw,
      keyBytes,
      () => lossOf(this.closed),
      () => {},
      { held: this.unfinished.call() },
    );
    let key: Buffer = Buffer.alloc(0);
    try {
      for (let bytes = await stream.read(); bytes; bytes = await stream.read())
        key = Buffer.concat([key, bytes]);
      if (key.length !== keyBytes) throw keyMissing();
      await stream.end();
    } catch {
      this.close(keyMissing());
      return;
    }
    this.#key = key;
    this.#keyed.resolve();
  }

  #sealerOf(streamId: number): Sealer {
    if (!this.#key) throw new TypeError('nothing is sent before the key has come');
    return new Sealer(this.#key, streamId);
  }

  /** Closes the connection without waiting for the client. */
  cut(error?: IdentityError): void {
    this.#gone(error);
    clearTimeout(this.#grace);
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The other end may be another connection (sealed.ts), which must not learn why a device was shut out.
    const text = error && afterRefusal(error.code) === 'retry' ? error.message : '';
    if (error) this.#session.close(toCloseNumber(error.code), toCloseReason(text));
    else this.#session.close(closedNormally, '');
  }

  #gone(error: IdentityError | undefined): void {
    if (this.#failure) return;
    this.#failure = error ?? connectionGone();
    for (const stream of this.#streams) stream.fail(this.#failure);
    this.#settle(error);
  }
}

const ignore = () => {};

const keyMissing = () =>
  new IdentityError('MESSAGE_INVALID', 'The first stream of a connection must carry its key.');

const isShort = (chain: readonly Uint8Array[]) =>
  chain.length <= MAX_CHAIN_CERTIFICATES &&
  chain.reduce((sum, { length }) => sum + length, 0) <= MAX_CHAIN_BYTES;
