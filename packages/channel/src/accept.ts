// The daemon's end of a channel, on a socket that is open. docs/channel.md.

import { IdentityError } from '@palyra/identity/portable';
import type { ByteStream, ServerConnection, SessionBytes } from '@palyra/rpc/portable';
import { numberOf } from './codes.ts';
import { ChannelConnection, type ConnectionOptions, invalid } from './connection.ts';
import type { Frame } from './frame.ts';
import type { ChannelPurpose } from './proof.ts';
import { Rate } from './rate.ts';
import { ChannelStream } from './stream.ts';

export interface DaemonConnectionOptions extends ConnectionOptions {
  /** What the channel is for. */
  readonly purpose: ChannelPurpose;
  /** What the device showed. That it holds the leaf's key, and that the chain holds, was found in the handshake. */
  readonly peerChain: readonly Uint8Array[];
  /** What its streams and calls keep of what is not whole. */
  readonly unfinished: SessionBytes;
  /** When it sends too much that says nothing. */
  readonly floods: FloodLimits;
}

export interface FloodLimits {
  /** PING, PONG and messages without a frame, of one connection in ten seconds. */
  readonly idleMessages: number;
  /** Streams that one connection may abandon at once, or make the daemon abandon. */
  readonly resetBurst: number;
  /** And then in a second. */
  readonly resetRate: number;
}

/** Who is on the other end of a channel of the daemon's. */
export interface DaemonChannel extends ServerConnection {
  readonly purpose: ChannelPurpose;
  /** What pairing and recovery are bound to: both sides have the same, and no other channel has. 32 bytes. */
  readonly channelBinding: Uint8Array;
}

const idleWindowSeconds = 10;
/** With which it refuses calls when it stops: no fault of the device. */
const daemonStops = numberOf('UNREACHABLE');

export class DaemonConnection extends ChannelConnection implements DaemonChannel {
  readonly purpose: ChannelPurpose;
  readonly peerChain: readonly Uint8Array[];
  readonly unfinished: SessionBytes;
  readonly #idle: Rate;
  readonly #resets: Rate;
  /** Where streams of the device go. */
  offer: (stream: ByteStream) => void = (stream) => stream.reset('UNREACHABLE');
  #shut: (error: IdentityError) => void = (error) => this.close(error);

  constructor(options: DaemonConnectionOptions) {
    super(options);
    this.purpose = options.purpose;
    this.peerChain = options.peerChain;
    this.unfinished = options.unfinished;
    const { idleMessages, resetBurst, resetRate } = options.floods;
    this.#idle = new Rate(idleMessages, idleMessages / idleWindowSeconds);
    this.#resets = new Rate(resetBurst, resetRate);
  }

  /** @param shut ends it for a reason that its calls are told. */
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
    // A stream that the daemon has to abandon costs it as much as one that the device abandons.
    if (frame.type === 'reset' && frame.number !== daemonStops && !this.failure && !this.#resets.take())
      this.close(flood('makes the daemon abandon too many calls'));
    return sent;
  }

  begin(): number {
    throw new TypeError('a daemon begins no stream');
  }

  protected began(id: number): ChannelStream {
    if (this.streams.size >= this.options.maxStreams) throw invalid('more streams than it may have open');
    const stream = new ChannelStream(this, this.options.maxUnreadBytes, id, this.unfinished.call());
    this.streams.set(id, stream);
    this.offer(stream);
    return stream;
  }

  protected override heardReset(): void {
    if (!this.#resets.take()) throw flood('abandons too many calls');
  }

  protected override heardIdleMessage(): void {
    if (!this.#idle.take()) throw flood('sends too much that says nothing');
  }
}

const flood = (what: string) => new IdentityError('RATE_LIMITED', `This connection ${what}.`);
