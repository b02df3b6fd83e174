// The daemon's end of a channel, on an open socket. docs/channel.md.

import { IdentityError } from '@palyra/identity/portable';
import type { ByteStream, ServerConnection, SessionBytes } from '@palyra/rpc/portable';
import { numberOf } from './codes.ts';
import { ChannelConnection, type ConnectionOptions, invalid } from './connection.ts';
import type { Frame } from './frame.ts';
import type { ChannelPurpose } from './proof.ts';
import { Rate } from './rate.ts';
import { ChannelStream } from './stream.ts';

export interface DaemonConnectionOptions extends ConnectionOptions {
  /** The purpose of the channel. */
  readonly purpose: ChannelPurpose;
  /** The device's chain. The handshake has verified the chain, and that the device holds the leaf's key. */
  readonly peerChain: readonly Uint8Array[];
  /** Counts the bytes of incomplete messages in its streams and calls. */
  readonly unfinished: SessionBytes;
  /** The origin that a browser sent. */
  readonly origin?: string | undefined;
  /** Limits on traffic without content. */
  readonly floods: FloodLimits;
}

export interface FloodLimits {
  /** PINGs, PONGs and messages without a frame that one connection may send in ten seconds. */
  readonly idleMessages: number;
  /** Streams that one connection may abandon at once, or make the daemon abandon. */
  readonly resetBurst: number;
  /** Streams that one connection may abandon per second after the burst. */
  readonly resetRate: number;
}

/** The daemon's end of a channel. */
export interface DaemonChannel extends ServerConnection {
  readonly purpose: ChannelPurpose;
  /** The value that pairing and recovery are bound to. Equal on both sides, and unique to this channel. 32 bytes. */
  readonly channelBinding: Uint8Array;
}

const idleWindowSeconds = 10;
/** The number with which a stopping daemon refuses calls. Does not count against the device. */
const daemonStops = numberOf('UNREACHABLE');

export class DaemonConnection extends ChannelConnection implements DaemonChannel {
  readonly purpose: ChannelPurpose;
  readonly peerChain: readonly Uint8Array[];
  readonly unfinished: SessionBytes;
  readonly origin: string | undefined;
  readonly #idle: Rate;
  readonly #resets: Rate;
  /** Receives the streams that the device opens. */
  offer: (stream: ByteStream) => void = (stream) => stream.reset('UNREACHABLE');
  #shut: (error: IdentityError) => void = (error) => this.close(error);

  constructor(options: DaemonConnectionOptions) {
    super(options);
    this.purpose = options.purpose;
    this.peerChain = options.peerChain;
    this.unfinished = options.unfinished;
    this.origin = options.origin;
    const { idleMessages, resetBurst, resetRate } = options.floods;
    this.#idle = new Rate(idleMessages, idleMessages / idleWindowSeconds);
    this.#resets = new Rate(resetBurst, resetRate);
  }

  /** @param shut ends the connection, and fails its calls with the given error. */
  serve(offer: (stream: ByteStream) => void, shut: (error: IdentityError) => void): void {
    this.offer = offer;
    this.#shut = shut;
    this.listen();
  }

  shut(error: IdentityError): void {
    this.#shut(error);
  }

  override send(frame: Frame): Promise<void> | undefined {
    const sent = super.send(frame);
    // A stream costs the daemon the same whether the daemon or the device abandons it.
    if (frame.type === 'reset' && frame.number !== daemonStops && !this.failure && !this.#resets.take())
      this.close(flood('makes the daemon abandon too many calls'));
    return sent;
  }

  begin(): number {
    throw new TypeError('a daemon opens no streams');
  }

  protected began(id: number): ChannelStream {
    if (this.streams.size >= this.options.maxStreams) throw invalid('more open streams than allowed');
    const stream = new ChannelStream(this, this.options.maxUnreadBytes, id, this.unfinished.call());
    this.streams.set(id, stream);
    this.offer(stream);
    return stream;
  }

  protected override onReset(): void {
    if (!this.#resets.take()) throw flood('abandons too many calls');
  }

  protected override onIdleMessage(): void {
    if (!this.#idle.take()) throw flood('sends too many messages without content');
  }
}

const flood = (what: string) => new IdentityError('RATE_LIMITED', `This connection ${what}.`);
