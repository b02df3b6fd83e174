// One stream of a channel: bytes in two directions, each of which ends independently. docs/channel.md 6.
//
//   sent     open -> ended       END
//   got      open -> ended       END from the other side
//   both            -> reset     RESET from either side, or the end of the channel

import {
  type ByteStream,
  type HeldBytes,
  ReceiveQueue,
  type ResetReason,
  StreamReset,
} from '@palyra/rpc/portable';
import { numberOf } from './codes.ts';
import { type Frame, maxDataBytes } from './frame.ts';

/** The parts of a channel that a stream uses. */
export interface StreamOwner {
  /** Assigns a number to a stream that sends its first frame. */
  begin(stream: ChannelStream): number;
  send(frame: Frame): Promise<void> | undefined;
  over(stream: ChannelStream): void;
}

export class ChannelStream implements ByteStream {
  readonly #owner: StreamOwner;
  readonly #held: HeldBytes | undefined;
  readonly #received: ReceiveQueue;
  #id: number | undefined;
  #failure: Error | undefined;
  #sentEnd = false;
  #gotEnd = false;

  /**
   * @param id undefined until the stream sends its first frame.
   * @param held counts the received bytes that nobody has read yet.
   */
  constructor(owner: StreamOwner, maxUnreadBytes: number, id?: number, held?: HeldBytes) {
    this.#owner = owner;
    this.#id = id;
    this.#held = held;
    this.#received = new ReceiveQueue(maxUnreadBytes, held);
  }

  get id(): number | undefined {
    return this.#id;
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#received.read();
  }

  async write(bytes: Uint8Array): Promise<void> {
    const more = this.#put(bytes, 0);
    if (more) await more;
    this.#checkWritable();
  }

  async end(bytes?: Uint8Array): Promise<void> {
    // Shares a message with END, if there is room.
    const more = bytes && this.#put(bytes, 0);
    if (more) await more;
    if (this.#failure) throw this.#failure;
    if (this.#sentEnd) return;
    this.#sentEnd = true;
    void this.#send((stream) => ({ type: 'end', stream }));
    this.#settle();
  }

  reset(reason: ResetReason): void {
    if (this.#isOver) return;
    // The peer does not know a stream without a number, so it needs no RESET.
    if (this.#id !== undefined)
      void this.#send((stream) => ({ type: 'reset', stream, number: numberOf(reason) }));
    this.fail(new StreamReset(reason));
  }

  /** @returns false if this direction had already ended. */
  arrive(bytes: Uint8Array): boolean {
    if (this.#gotEnd) return false;
    // `bytes` is a view of its message and keeps the whole message in memory.
    if (!this.#received.push(bytes))
      this.reset(this.#held?.fits(bytes.length) === false ? 'TOO_MANY_REQUESTS' : 'MESSAGE_TOO_LARGE');
    return true;
  }

  /** @returns false if this direction had already ended. */
  arriveEnd(): boolean {
    if (this.#gotEnd) return false;
    this.#gotEnd = true;
    this.#received.end();
    this.#settle();
    return true;
  }

  /** Fails the stream: the channel has ended, or one side reset the stream. */
  fail(error: Error): void {
    if (this.#isOver) return;
    this.#failure = error;
    this.#received.fail(error);
    this.#leave();
  }

  /** Sends as much as there is room for now, and the rest when there is room. */
  #put(bytes: Uint8Array, from: number): Promise<void> | undefined {
    for (let at = from; at < bytes.length; at += maxDataBytes) {
      this.#checkWritable();
      const next = at + maxDataBytes;
      const room = this.#send((stream) => ({ type: 'data', stream, bytes: bytes.subarray(at, next) }));
      if (room) return room.then(() => this.#put(bytes, next));
    }
    return undefined;
  }

  get #isOver(): boolean {
    return this.#failure !== undefined || (this.#sentEnd && this.#gotEnd);
  }

  #checkWritable(): void {
    if (this.#failure) throw this.#failure;
    if (this.#sentEnd) throw new TypeError('write after end');
  }

  #send(frame: (stream: number) => Frame): Promise<void> | undefined {
    this.#id ??= this.#owner.begin(this);
    return this.#owner.send(frame(this.#id));
  }

  #settle(): void {
    if (this.#isOver) this.#leave();
  }

  #leave(): void {
    // Without a failure, the reader may still read received bytes.
    if (this.#failure) this.#held?.end();
    this.#owner.over(this);
  }
}
