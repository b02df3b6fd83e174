// The client side of QUIC over @currentspace/http3.

import { X509Certificate } from 'node:crypto';
import type { QuicStream as LibraryStream, QuicClientSession } from '@currentspace/http3';
import { IdentityError } from '@palyra/identity';
import { LinkedList } from '@palyra/identity/portable';
import {
  type ByteStream,
  type ClientConnection,
  closedNormally,
  closeErrorOf,
  resolveStreamLimits,
  type StreamLimits,
  toCloseNumber,
  toCloseReason,
} from '@palyra/rpc/portable';
import { dialAddresses, type StreamDialOptions } from '@palyra/rpc/transport';
import { decodeGoaway, goawayInvalid, maxGoawayBytes } from '../goaway.ts';
import { makeKey, Opener } from '../sealed.ts';
import { closeReason, connectionGone, dialError, type LibraryClose, lossOf } from './close-reason.ts';
import { watchHandshake } from './guard.ts';
import { loadLibrary, withScratchFolder } from './library.ts';
import { alpn, type QuicheRuntime, runtimeOptions } from './runtime.ts';
import { QuicheStream, type StreamCoding } from './stream.ts';

/** Interval between attempts to open a stream, because the library does not report when the peer allows more. */
const streamLimitPollMs = 5;

export async function dial(options: StreamDialOptions, runtime: QuicheRuntime): Promise<ClientConnection> {
  // Must come before any name is resolved.
  loadLibrary();
  return dialAddresses(
    options.host,
    (address, over) => {
      const signal = options.signal ? AbortSignal.any([options.signal, over]) : over;
      return dialOne(address, { ...options, signal }, runtime);
    },
    (late) => late.close(),
  );
}

async function dialOne(
  address: string,
  options: StreamDialOptions,
  runtime: QuicheRuntime,
): Promise<ClientConnection> {
  // The library's server does not answer at link-local addresses (docs/quic.md, 5), and a timeout takes seconds.
  if (address.includes('%'))
    throw new IdentityError('UNREACHABLE', 'QUIC does not reach link-local addresses. HTTP/2 does.');
  const library = loadLibrary();
  const limits = resolveStreamLimits(options.limits);
  const { tls } = options;

  let close: LibraryClose | undefined;
  const session = withScratchFolder((written) => {
    const session = library.connectQuic(
      { address, port: options.port, servername: tls.trustDomain },
      {
        ca: tls.pinnedRoot,
        cert: tls.certificateChain,
        key: tls.privateKey,
        alpn: [alpn],
        // For the server's GOAWAY.
        initialMaxStreamsBidi: 1,
        maxIdleTimeoutMs: limits.idleTimeoutMs,
        connectTimeoutMs: limits.handshakeTimeoutMs,
        allow0RTT: false,
        ...runtimeOptions(runtime),
        ...(options.signal ? { signal: options.signal } : {}),
      },
    );
    session.once('runtime', written);
    session.ready().then(written, written);
    return session;
  });
  const handshake = watchHandshake(session);
  session.on('error', () => {});
  session.on('close', (info) => {
    close = info;
  });
  const connection = new QuicheClientConnection(session, address, options, limits);

  try {
    await session.ready();
    connection.sendKey();
  } catch (cause) {
    const isRefused = handshake.done && connection.over;
    connection.close();
    options.signal?.throwIfAborted();
    if (!isRefused) throw dialError(close, cause);
  }
  return connection;
}

class QuicheClientConnection implements ClientConnection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly closed: Promise<IdentityError | undefined>;
  readonly #session: QuicClientSession;
  readonly #maxUnreadBytes: number;
  readonly #key = makeKey();
  readonly #streams = new LinkedList<QuicheStream>();
  readonly #waiting = new Set<() => void>();
  readonly #keepAlive: NodeJS.Timeout;
  #settle!: (error: IdentityError | undefined) => void;
  #failure: IdentityError | undefined;

  /** @param session not ready yet, because a server that refuses sends its reason as soon as the session is ready. */
  constructor(session: QuicClientSession, address: string, options: StreamDialOptions, limits: StreamLimits) {
    this.remoteAddress = address;
    this.remotePort = options.port;
    this.#session = session;
    this.#maxUnreadBytes = limits.maxUnreadBytes;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const own = new X509Certificate(options.tls.certificateChain);
    this.#keepAlive = setInterval(() => ping(session), options.keepAliveMs ?? 20_000).unref();
    session.on('close', (info) => this.#gone(closeReason(info, own)));
    session.on('stream', (stream) => void this.#hear(stream));
  }

  get over(): boolean {
    return this.#failure !== undefined;
  }

  async openStream(signal?: AbortSignal): Promise<ByteStream> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#failure) throw this.#failure;
      try {
        return this.#open();
      } catch (error) {
        if (!isStreamLimit(error)) throw await lossOf(this.closed);
      }
      await this.#streamFreed(signal);
    }
  }

  /** The first stream. */
  sendKey(): void {
    if (this.#failure) return;
    try {
      this.#session
        .openStream()
        .on('error', () => {})
        .resume()
        .end(this.#key);
    } catch {
      // The session has ended inside the library, which will emit `close` soon.
    }
  }

  close(error?: IdentityError): void {
    if (this.#failure) return;
    this.#gone(error);
    this.#end(error);
  }

  #end(error?: IdentityError): void {
    const sent = error
      ? this.#session.close(toCloseNumber(error.code), toCloseReason(error.message))
      : this.#session.close(closedNormally, '');
    // This can fail when the peer has left. The connection is over either way.
    sent.catch(() => {});
  }

  /** Reads the GOAWAY, the only use of a stream that the server opens. */
  async #hear(raw: LibraryStream): Promise<void> {
    const stream = new QuicheStream(
      raw,
      maxGoawayBytes,
      () => lossOf(this.closed),
      () => {},
      this.#codingOf(raw),
    );
    let goaway: Buffer = Buffer.alloc(0);
    try {
      for (let bytes = await stream.read(); bytes; bytes = await stream.read()) {
        goaway = Buffer.concat([goaway, bytes]);
        if (goaway.length > maxGoawayBytes) throw goawayInvalid();
      }
      const { errorCode, reason: text } = decodeGoaway(goaway);
      const reason = closeErrorOf(errorCode, text) ?? connectionGone();
      if (this.#failure) return;
      this.#gone(reason);
      this.#end();
    } catch {
      // The stream was no valid GOAWAY, or was cut off. The connection ends with that error.
      this.close(goawayInvalid());
    }
  }

  #open(): QuicheStream {
    const raw = this.#session.openStream();
    const stream = new QuicheStream(
      raw,
      this.#maxUnreadBytes,
      () => lossOf(this.closed),
      () => {
        this.#streams.remove(link);
        this.#wake();
      },
      this.#codingOf(raw),
    );
    const link = this.#streams.add(stream);
    return stream;
  }

  #codingOf({ id }: LibraryStream): StreamCoding {
    const opener = new Opener(this.#key, id);
    return {
      open: (bytes) => opener.open(bytes),
      broken: (error) => this.close(error as IdentityError),
    };
  }

  async #streamFreed(signal: AbortSignal | undefined): Promise<void> {
    let wake!: () => void;
    const freed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const timer = setTimeout(wake, streamLimitPollMs);
    this.#waiting.add(wake);
    signal?.addEventListener('abort', wake);
    await freed;
    signal?.removeEventListener('abort', wake);
    this.#waiting.delete(wake);
    clearTimeout(timer);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #gone(error: IdentityError | undefined): void {
    if (this.#failure) return;
    clearInterval(this.#keepAlive);
    this.#failure = error ?? connectionGone();
    for (const stream of this.#streams) stream.fail(this.#failure);
    this.#settle(error);
    this.#wake();
  }
}

const isStreamLimit = (error: unknown) => error instanceof Error && error.message.includes('StreamLimit');

function ping(session: QuicClientSession): void {
  try {
    session.ping();
  } catch {
    // The session has ended inside the library, which will emit `close` soon.
  }
}
