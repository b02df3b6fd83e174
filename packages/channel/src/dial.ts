// The device's end of a channel, on an open socket. docs/channel.md.

import { IdentityError } from '@palyra/identity/portable';
import {
  type ByteStream,
  type ClientConnection,
  resolveStreamLimits,
  type StreamLimits,
} from '@palyra/rpc/portable';
import { agreeAsDevice, type DeviceSide, dialError } from './agree.ts';
import { ChannelConnection, type ConnectionOptions, detached, invalid } from './connection.ts';
import { maxNumber } from './frame.ts';
import { Inbox, type MessageSocket, SocketClosed } from './message-socket.ts';
import { ChannelStream } from './stream.ts';

export interface OpenChannelOptions extends DeviceSide {
  /** Default: `docs/limits.md`, "Channel". */
  readonly limits?: Partial<Pick<StreamLimits, 'maxUnreadBytes' | 'handshakeTimeoutMs' | 'idleTimeoutMs'>>;
  /** Interval of PINGs, so that neither the daemon nor a proxy drops the connection, ms. Default: 20 s. */
  readonly keepAliveMs?: number;
  /** Shown to people. Default: empty. */
  readonly remoteAddress?: string;
  /** Shown to people. Default: 0. */
  readonly remotePort?: number;
  /** Cancels the handshake. Default: none. */
  readonly signal?: AbortSignal;
}

/** A device's end of a channel. */
export interface DeviceChannel extends ClientConnection {
  /** The value that pairing and recovery are bound to. Equal on both sides, and unique to this channel. 32 bytes. */
  readonly channelBinding: Uint8Array;
}

const defaultKeepAliveMs = 20_000;

/**
 * Performs the handshake with the daemon. If the handshake fails, terminates the socket.
 *
 * @throws DAEMON_NOT_AUTHENTICATED, UNREACHABLE; errors of `judge`.
 */
export async function openChannel(
  socket: MessageSocket,
  options: OpenChannelOptions,
): Promise<DeviceChannel> {
  const limits = resolveStreamLimits(options.limits);
  const inbox = new Inbox(socket);
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
  const abort = () => giveUp(options.signal?.reason);
  const timer = setTimeout(
    () => giveUp(new IdentityError('UNREACHABLE', 'The daemon did not finish the handshake in time.')),
    limits.handshakeTimeoutMs,
  );
  options.signal?.addEventListener('abort', abort);
  try {
    options.signal?.throwIfAborted();
    const { agreed, maxStreams } = await Promise.race([agreeAsDevice(socket, inbox, options), givenUp]);
    return new DeviceConnection(
      {
        socket,
        inbox,
        agreed,
        maxStreams,
        maxUnreadBytes: limits.maxUnreadBytes,
        idleTimeoutMs: limits.idleTimeoutMs,
        remoteAddress: options.remoteAddress ?? '',
        remotePort: options.remotePort ?? 0,
      },
      options.keepAliveMs ?? defaultKeepAliveMs,
    );
  } catch (error) {
    socket.terminate();
    throw error instanceof SocketClosed ? notAgreed(error) : dialError(error);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

/** The close code and reason of a socket are not authenticated. */
function notAgreed({ code, reason }: SocketClosed): IdentityError {
  const said = /^[A-Z_]{1,40}$/.test(reason) ? `${code} ${reason}` : `${code}`;
  return new IdentityError(
    'UNREACHABLE',
    `The connection was closed before the daemon had proven itself (${said}).`,
  );
}

/** Silence is noticed within a quarter of the time between two PINGs. */
const checksPerPing = 4;

class DeviceConnection extends ChannelConnection implements DeviceChannel {
  readonly #opened = new Set<ChannelStream>();
  readonly #waiting = new Set<() => void>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(options: ConnectionOptions, keepAliveMs: number) {
    super(options);
    let ticks = 0;
    this.#timer = setInterval(() => {
      ticks += 1;
      this.check(performance.now());
      if (ticks % checksPerPing === 0 && !this.failure) void this.send({ type: 'ping', value: 0 });
    }, keepAliveMs / checksPerPing);
    detached(this.#timer);
    this.listen();
  }

  async openStream(signal?: AbortSignal): Promise<ByteStream> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.failure) throw this.failure;
      if (this.#opened.size < this.options.maxStreams) break;
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal?.addEventListener('abort', wake);
      });
    }
    const stream = new ChannelStream(this, this.options.maxUnreadBytes);
    this.#opened.add(stream);
    return stream;
  }

  begin(stream: ChannelStream): number {
    this.lastStream += 1;
    // Reached after about a billion calls.
    if (this.lastStream >= maxNumber) {
      const error = new IdentityError('UNREACHABLE', 'The connection has carried as many calls as it can.');
      this.close(error);
      throw error;
    }
    this.streams.set(this.lastStream, stream);
    return this.lastStream;
  }

  override over(stream: ChannelStream): void {
    super.over(stream);
    this.#opened.delete(stream);
    this.#wake();
  }

  protected began(): ChannelStream {
    throw invalid('a stream opened by the daemon');
  }

  protected override gone(error: IdentityError | undefined): void {
    super.gone(error);
    clearInterval(this.#timer);
    // Also fails the streams that have sent nothing yet.
    for (const stream of [...this.#opened]) stream.fail(this.failure!);
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
