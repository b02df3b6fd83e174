// The transport that calls need: listen, dial, connection, stream. QUIC, the WebSocket channel and memory.ts implement this
// contract and pass one suite (testing/contract-suite.ts). docs/quic.md, docs/channel.md.

import type { IdentityError } from '@palyra/identity/portable';
import type { SessionBytes, UnfinishedBytes } from '../calls/unfinished-bytes.ts';
import type { ResetReason } from './close-code.ts';

export interface StreamTransport {
  /** @throws UNREACHABLE when the address is taken or is not ours. */
  listen(options: StreamListenOptions): Promise<StreamListener>;
  /**
   * Connects and proves both sides. In TLS 1.3 the client is done before the server has judged the client's
   * certificate, so a refusal by the daemon arrives after this: as `closed`, and from every stream.
   *
   * @throws DAEMON_NOT_AUTHENTICATED when the server is not the pinned daemon, and also when its
   * certificate has expired, because the library reports both alike. VERSION_UNSUPPORTED when it speaks another protocol,
   * UNREACHABLE when there is no answer.
   */
  dial(options: StreamDialOptions): Promise<ClientConnection>;
}

/** The server's credential, and the roots of the clients that it accepts. */
export interface ServerTlsConfig {
  /** PEM, the leaf first, then its issuers without the root. */
  readonly certificateChain: string;
  /** PEM, PKCS #8 or SEC 1. */
  readonly privateKey: string;
  /** PEM of the roots that client certificates must chain to. */
  readonly clientRoots: string;
}

/** The client's credential, and the one daemon that it accepts. */
export interface ClientTlsConfig {
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

export interface StreamLimits {
  /** Live connections of one listener; further ones get TOO_MANY_SESSIONS. Default 1000. */
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
  /** A connection that receives nothing for this long is over. The lower value of both sides applies. Default 60 s. */
  readonly idleTimeoutMs: number;
}

export interface StreamListenOptions {
  /** An IP address of this machine, or `0.0.0.0` or `::`. */
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** The server's certificate chain and key, and the roots of its peers. */
  readonly tls: ServerTlsConfig;
  /**
   * Decides about a connection before its first stream is served. An error that it throws closes the connection: an
   * IdentityError with its code and message, anything else as INTERNAL.
   */
  admit(connection: ServerConnection): Promise<void>;
  /** Serves one stream of an admitted connection, to its end. Must not throw. */
  serve(stream: ByteStream, connection: ServerConnection): void | Promise<void>;
  /** Called for failures that belong to no connection. */
  onError?(error: Error): void;
  /** Called for connections that did not reach `admit`. */
  onRefused?(reason: StreamRefusal): void;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<StreamLimits>;
  /** Limits the bytes of incomplete messages, shared with other listeners. Default: a limit for this listener alone. */
  readonly unfinished?: UnfinishedBytes;
}

/** Over `maxConnections` or `maxHandshakesPerSource`; over `handshakeTimeoutMs`. */
export type StreamRefusal = 'limit' | 'handshake_timeout';

export interface StreamDialOptions {
  /** An IP address or a DNS name. */
  readonly host: string;
  /** The UDP port. */
  readonly port: number;
  /** The client's certificate chain and key, and the roots that the server's chain must lead to. */
  readonly tls: ClientTlsConfig;
  /** Default: `docs/limits.md`, "QUIC". */
  readonly limits?: Partial<Pick<StreamLimits, 'maxUnreadBytes' | 'handshakeTimeoutMs' | 'idleTimeoutMs'>>;
  /** Sends something this often, so that neither the server nor a NAT forgets the connection. Default 20 s. */
  readonly keepAliveMs?: number;
  /** Gives up dialling. */
  readonly signal?: AbortSignal;
}

export interface StreamListener {
  readonly host: string;
  readonly port: number;
  /** Connections that finished their handshake and are not closed. */
  readonly connectionCount: number;
  /**
   * Closes every connection, then the port. Resolves when the port can be bound again.
   * @param until lets running streams end first. Each connection is closed after its last stream, or when `until` is aborted.
   */
  close(error?: IdentityError, until?: AbortSignal): Promise<void>;
}

export interface StreamConnection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Ends the connection and all its streams at once. The peer learns the error's code and message. */
  close(error?: IdentityError): void;
  /** Resolves when the connection is gone, with the reason, or undefined when a side simply closed it. */
  readonly closed: Promise<IdentityError | undefined>;
}

export interface ClientConnection extends StreamConnection {
  /** Opens a stream, after waiting if as many as the peer allows are open. Rejects when the connection is gone. */
  openStream(signal?: AbortSignal): Promise<ByteStream>;
}

export interface ServerConnection extends StreamConnection {
  /**
   * The client's chain, leaf first, DER; at most as long as a chain of ours can be. The handshake has proven that the
   * client holds the leaf's key. `admit` must check whether the chain is ours.
   */
  readonly peerChain: readonly Uint8Array[];
  /**
   * Ends the connection and gives its calls the reason. Running calls have a short time to answer, and no further stream is
   * served. The connection ends sooner when all calls have answered.
   */
  shut(error: IdentityError): void;
  /** Counts the bytes of incomplete messages that its streams and calls hold. */
  readonly unfinished: SessionBytes;
  /** The web origin that a browser sent. Undefined for other clients, and on transports without origins. */
  readonly origin?: string | undefined;
}

/** Two directions of bytes. Every failure is a StreamReset or the IdentityError that ended the connection. */
export interface ByteStream {
  /** The next bytes, or undefined after the peer's last. One call at a time. */
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when the transport has taken the bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Sends the last bytes of this direction. */
  end(bytes?: Uint8Array): Promise<void>;
  /** Abandons both directions; the peer learns the reason. No effect on a stream that is over. */
  reset(reason: ResetReason): void;
}

const defaults: StreamLimits = {
  maxConnections: 1000,
  maxHandshakes: 256,
  maxHandshakesPerSource: 64,
  maxStreams: 100,
  maxUnreadBytes: 1_048_576,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
};

/** @throws TypeError for a limit that is not a positive whole number. */
export function resolveStreamLimits(given: Partial<StreamLimits> = {}): StreamLimits {
  const limits = { ...defaults, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new TypeError(`${name} must be a positive whole number`);
  }
  return limits;
}
