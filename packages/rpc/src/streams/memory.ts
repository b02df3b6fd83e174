// The contract without a network, to test and measure the layers above a transport alone. There is no TLS. The server sees the
// client's chain, and no certificate is checked.

import { X509Certificate } from 'node:crypto';
import { IdentityError } from '@palyra/identity';
import { type HeldBytes, type SessionBytes, UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import { type Admission, drained, startAdmission } from './admission.ts';
import { closeErrorOf, type ResetReason, StreamReset, toCloseNumber, toCloseReason } from './close-code.ts';
import {
  type ByteStream,
  type ClientConnection,
  resolveStreamLimits,
  type ServerConnection,
  type StreamDialOptions,
  type StreamLimits,
  type StreamListener,
  type StreamListenOptions,
  type StreamTransport,
} from './contract.ts';
import { ReceiveQueue } from './receive-queue.ts';

/** Makes a separate network. Ports of different networks are independent. */
export function createMemoryTransport(): StreamTransport {
  const listeners = new Map<number, MemoryListener>();
  let nextPort = 1;
  return {
    async listen(options) {
      const port = options.port || nextPort++;
      if (listeners.has(port)) throw new IdentityError('UNREACHABLE', `Port ${port} is in use.`);
      const listener = new MemoryListener(options, port, () => listeners.delete(port));
      listeners.set(port, listener);
      return listener;
    },
    async dial(options) {
      const listener = listeners.get(options.port);
      if (!listener) throw new IdentityError('UNREACHABLE', `Nobody listens on port ${options.port}.`);
      return listener.accept(options);
    },
  };
}

class MemoryListener implements StreamListener {
  readonly host: string;
  readonly port: number;
  readonly #options: StreamListenOptions;
  readonly #limits: StreamLimits;
  readonly #connections = new Set<MemoryConnection>();
  readonly #unbind: () => void;
  readonly #unfinished: UnfinishedBytes;
  #draining: IdentityError | undefined;

  constructor(options: StreamListenOptions, port: number, unbind: () => void) {
    this.host = options.host;
    this.port = port;
    this.#options = options;
    this.#limits = resolveStreamLimits(options.limits);
    this.#unbind = unbind;
    this.#unfinished = options.unfinished ?? new UnfinishedBytes();
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  accept(options: StreamDialOptions): ClientConnection {
    const server = new MemoryConnection(
      chainOf(options.tls.certificateChain),
      this.#limits,
      this.#unfinished,
    );
    const client = new MemoryConnection(
      [],
      resolveStreamLimits(options.limits),
      new UnfinishedBytes({ unknownBytes: Number.POSITIVE_INFINITY, totalBytes: Number.POSITIVE_INFINITY }),
    );
    server.peer = client;
    client.peer = server;
    if (this.#connections.size >= this.#limits.maxConnections) {
      this.#options.onRefused?.('limit');
      server.close(
        new IdentityError('TOO_MANY_SESSIONS', 'The daemon has reached its limit of connections.'),
      );
      return client;
    }
    this.#connections.add(server);
    void server.closed.then(() => this.#connections.delete(server));
    server.admission = startAdmission(server, this.#options, this.#limits.handshakeTimeoutMs);
    if (this.#draining) server.admission.drain(this.#draining);
    return client;
  }

  async close(error?: IdentityError, until?: AbortSignal): Promise<void> {
    if (until) {
      this.#draining = error ?? new IdentityError('UNREACHABLE', 'The connection was closed.');
      for (const { admission } of this.#connections) admission?.drain(this.#draining);
      await drained(this.#connections, until);
    }
    for (const connection of this.#connections) connection.close(error);
    this.#unbind();
  }
}

const chainOf = (pem: string) =>
  [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(
    ([each]) => new X509Certificate(each).raw,
  );

class MemoryConnection implements ClientConnection, ServerConnection {
  readonly remoteAddress = 'memory';
  readonly remotePort = 0;
  readonly peerChain: readonly Uint8Array[];
  readonly closed: Promise<IdentityError | undefined>;
  readonly limits: StreamLimits;
  readonly unfinished: SessionBytes;
  readonly streams = new Set<MemoryStream>();
  peer!: MemoryConnection;
  admission: Admission | undefined;
  #settle!: (error: IdentityError | undefined) => void;
  #failure: IdentityError | undefined;
  #waiting: (() => void)[] = [];

  constructor(peerChain: readonly Uint8Array[], limits: StreamLimits, unfinished: UnfinishedBytes) {
    this.unfinished = unfinished.of(this);
    this.peerChain = peerChain;
    this.limits = limits;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  shut(error: IdentityError): void {
    if (this.admission) this.admission.shut(error);
    else this.close(error);
  }

  close(error?: IdentityError): void {
    if (this.#failure) return;
    this.gone(error);
    const received = error && closeErrorOf(toCloseNumber(error.code), toCloseReason(error.message));
    queueMicrotask(() => this.peer.gone(received));
  }

  gone(error: IdentityError | undefined): void {
    if (this.#failure) return;
    this.#failure = error ?? new IdentityError('UNREACHABLE', 'The connection was closed.');
    for (const stream of this.streams) stream.fail(this.#failure);
    this.streams.clear();
    this.#settle(error);
    this.freed();
  }

  freed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async openStream(signal?: AbortSignal): Promise<ByteStream> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#failure) throw this.#failure;
      if (this.peer.streams.size < this.peer.limits.maxStreams) break;
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    const mine = new MemoryStream(this);
    const theirs = new MemoryStream(this.peer);
    mine.other = theirs;
    theirs.other = mine;
    this.peer.admission?.offer(theirs);
    return mine;
  }
}

class MemoryStream implements ByteStream {
  other!: MemoryStream;
  readonly #connection: MemoryConnection;
  readonly #held: HeldBytes;
  readonly #received: ReceiveQueue;
  #failure: Error | undefined;
  #sentEnd = false;
  #gotEnd = false;

  constructor(connection: MemoryConnection) {
    this.#connection = connection;
    this.#held = connection.unfinished.call();
    this.#received = new ReceiveQueue(connection.limits.maxUnreadBytes, this.#held);
    connection.streams.add(this);
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#received.read();
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#sentEnd) throw new TypeError('write after end');
    this.other.#arrive(Uint8Array.from(bytes));
  }

  async end(bytes?: Uint8Array): Promise<void> {
    if (bytes) await this.write(bytes);
    if (this.#failure) throw this.#failure;
    if (this.#sentEnd) return;
    this.#sentEnd = true;
    this.other.#arriveEnd();
    this.#over();
  }

  reset(reason: ResetReason): void {
    if (this.#failure || (this.#sentEnd && this.#gotEnd)) return;
    this.fail(new StreamReset(reason));
    queueMicrotask(() => this.other.fail(new StreamReset(reason)));
  }

  fail(error: Error): void {
    if (this.#failure || (this.#sentEnd && this.#gotEnd)) return;
    this.#failure = error;
    this.#received.fail(error);
    this.#leave();
  }

  // As on a network, bytes arrive after the write call has returned.
  #arrive(bytes: Uint8Array): void {
    queueMicrotask(() => {
      if (this.#received.push(bytes)) return;
      this.reset(this.#held.fits(bytes.length) ? 'MESSAGE_TOO_LARGE' : 'TOO_MANY_REQUESTS');
    });
  }

  #arriveEnd(): void {
    queueMicrotask(() => {
      this.#gotEnd = true;
      this.#received.end();
      this.#over();
    });
  }

  #over(): void {
    if (this.#sentEnd && this.#gotEnd) this.#leave();
  }

  #leave(): void {
    this.#connection.streams.delete(this);
    this.#connection.peer.freed();
  }
}
