// What the rest of the project knows of QUIC: listen, dial, connection, stream. Two implementations, quiche/ and
// memory.ts, pass one suite; another library can take the place of the first without a change above this line.
// docs/quic.md, section 1.

import type { IdentityError } from '@palyra/identity';
import type { SessionBytes, UnfinishedBytes } from '../unfinished-bytes.ts';
import type { QuicResetReason } from './close-code.ts';

export interface Quic {
  /** @throws UNREACHABLE when the address is taken or is not ours. */
  listen(options: QuicListenOptions): Promise<QuicListener>;
  /**
   * Connects and proves both sides. In TLS 1.3 the client is done before the server has judged the client's
   * certificate, so a refusal by the daemon arrives after this: as `closed`, and from every stream.
   *
   * @throws DAEMON_NOT_AUTHENTICATED when the server is not the pinned one, also when its
   * certificate has expired: the library says so of impostors, too. VERSION_UNSUPPORTED when it speaks another protocol,
   * UNREACHABLE when there is no answer.
   */
  dial(options: QuicDialOptions): Promise<QuicClientConnection>;
}

/** What the server proves itself with, and whom it lets finish a handshake. */
export interface QuicServerTlsConfig {
  /** PEM, the leaf first, then its issuers without the root. */
  readonly certificateChain: string;
  /** PEM, PKCS #8 or SEC 1. */
  readonly privateKey: string;
  /** PEM of the roots that client certificates must chain to. */
  readonly clientRoots: string;
}

/** What a client proves itself with, and the one daemon it accepts. */
export interface QuicClientTlsConfig {
  /** PEM, the leaf first, then its issuers without the root. */
  readonly certificateChain: string;
  /** PEM, PKCS #8 or SEC 1. */
  readonly privateKey: string;
  /** PEM of the pinned root. Nothing else is trusted. */
  readonly pinnedRoot: string;
  /**
   * The daemon's trust domain. Its certificate must carry this as a DNS name, which only a daemon's certificate
   * does; that is how it proves `spiffe://<trustDomain>/daemon/...` where a client cannot read the certificate.
   */
  readonly trustDomain: string;
}

export interface QuicLimits {
  /** Live connections of one listener; the next one is told TOO_MANY_SESSIONS. Default 1000. */
  readonly maxConnections: number;
  /** Handshakes in progress beside them; more are dropped without an answer. Default 256. */
  readonly maxHandshakes: number;
  /** Of these, from one source: an IPv4 address or an IPv6 /64. Default 64. */
  readonly maxHandshakesPerSource: number;
  /** Streams a client may have open in one connection; it waits for the next. Default 100. */
  readonly maxStreams: number;
  /** Bytes received on one stream and not read yet; beyond it the stream is reset. Default 1 MiB. */
  readonly maxUnreadBytes: number;
  /** From the first packet to the decision of `admit`, and from dial to connection. Default 10 s. */
  readonly handshakeTimeoutMs: number;
  /** A connection that hears nothing for this long is gone. The lower of both sides counts. Default 60 s. */
  readonly idleTimeoutMs: number;
}

export interface QuicListenOptions {
  /** An IP address of this machine, or `0.0.0.0` or `::`. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The server's certificate chain and key, and the roots of its peers. */
  readonly tls: QuicServerTlsConfig;
  /**
   * Decides about a connection before its first stream is served. What it throws closes the connection: an
   * IdentityError with its code and message, anything else as INTERNAL.
   */
  admit(connection: QuicServerConnection): Promise<void>;
  /** Serves one stream of an admitted connection, to its end. Must not throw. */
  serve(stream: QuicStream, connection: QuicServerConnection): void | Promise<void>;
  /** Hears of failures that belong to no connection. */
  onError?(error: Error): void;
  /** Hears of connections that did not come to `admit`. */
  onRefused?(reason: QuicRefusal): void;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<QuicLimits>;
  /** What messages that are not whole may take, with those of other listeners. Default: a bound of this listener's own. */
  readonly unfinished?: UnfinishedBytes;
  /**
   * `refuse` (default) asks clients to stay on their path; a rebinding by a NAT is followed all the same.
   * `follow` lets a client move to another network.
   */
  readonly migration?: 'refuse' | 'follow';
  /**
   * Starts a handshake for a source address that has not answered yet: saves a round trip and lets anyone make this
   * listener work and send for addresses that are not theirs. Default false.
   */
  readonly dangerouslySkipAddressValidation?: boolean;
}

/** Over `maxConnections` or `maxHandshakesPerSource`; over `handshakeTimeoutMs`. */
export type QuicRefusal = 'limit' | 'handshake_timeout';

export interface QuicDialOptions {
  /** An IP address or a DNS name. */
  readonly host: string;
  /** The UDP port. */
  readonly port: number;
  /** The client's certificate chain and key, and the roots that the server's chain must lead to. */
  readonly tls: QuicClientTlsConfig;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<Pick<QuicLimits, 'maxUnreadBytes' | 'handshakeTimeoutMs' | 'idleTimeoutMs'>>;
  /** Sends something this often, so that neither the server nor a NAT forgets the connection. Default 20 s. */
  readonly keepAliveMs?: number;
  /** Gives up dialling. */
  readonly signal?: AbortSignal;
}

export interface QuicListener {
  readonly host: string;
  readonly port: number;
  /** Connections that finished their handshake and are not closed. */
  readonly connectionCount: number;
  /**
   * Closes every connection, then the port. Resolves when the port can be bound again.
   * @param until lets what is served end before: each connection is closed after its last stream, or when this says so.
   */
  close(error?: IdentityError, until?: AbortSignal): Promise<void>;
}

export interface QuicConnection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Ends the connection and all its streams at once. The peer learns the error's code and message. */
  close(error?: IdentityError): void;
  /** Resolves when the connection is gone, with the reason, or undefined when a side simply closed it. */
  readonly closed: Promise<IdentityError | undefined>;
}

export interface QuicClientConnection extends QuicConnection {
  /** Opens a stream, after waiting if as many as the peer allows are open. Rejects when the connection is gone. */
  openStream(signal?: AbortSignal): Promise<QuicStream>;
}

export interface QuicServerConnection extends QuicConnection {
  /**
   * What the client showed, leaf first, DER; at most as long as a chain of ours can be. That it holds the leaf's key was
   * proven in the handshake. Whether the chain is ours is for `admit` to judge.
   */
  readonly peerChain: readonly Uint8Array[];
  /**
   * Ends it for a reason that its calls are told: those under way have a moment to answer, and no further stream is served.
   * They end sooner when they have answered.
   */
  shut(error: IdentityError): void;
  /** What its streams and calls keep of what is not whole. */
  readonly unfinished: SessionBytes;
}

/** Two directions of bytes. Every failure is a QuicStreamReset or the IdentityError that ended the connection. */
export interface QuicStream {
  /** The next bytes, or undefined after the peer's last. One call at a time. */
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when the bytes are taken. */
  write(bytes: Uint8Array): Promise<void>;
  /** Sends the last bytes of this direction. */
  end(bytes?: Uint8Array): Promise<void>;
  /** Abandons both directions; the peer learns the reason. No effect on a stream that is over. */
  reset(reason: QuicResetReason): void;
}

const defaults: QuicLimits = {
  maxConnections: 1000,
  maxHandshakes: 256,
  maxHandshakesPerSource: 64,
  maxStreams: 100,
  maxUnreadBytes: 1_048_576,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
};

/** @throws TypeError for a limit that is not a positive whole number. */
export function resolveQuicLimits(given: Partial<QuicLimits> = {}): QuicLimits {
  const limits = { ...defaults, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new TypeError(`${name} must be a positive whole number`);
  }
  return limits;
}
