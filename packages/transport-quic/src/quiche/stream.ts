// Adapts a stream of the library to the stream contract. The library never slows a sender down when the reader does not read, so
// this file limits the unread bytes.

import type { QuicStream as LibraryStream } from '@currentspace/http3';
import type { ByteStream, HeldBytes } from '@palyra/rpc/portable';
import {
  ReceiveQueue,
  type ResetReason,
  resetReasonOf,
  StreamReset,
  toCloseNumber,
} from '@palyra/rpc/portable';

export class QuicheStream implements ByteStream {
  readonly #stream: LibraryStream;
  readonly #lost: () => Promise<Error>;
  readonly #received: ReceiveQueue;
  #failure: Error | undefined;
  #ended = false;

  /**
   * @param lost resolves with the reason why the connection ended.
   * @param held counts the unread bytes.
   */
  constructor(
    stream: LibraryStream,
    maxUnreadBytes: number,
    lost: () => Promise<Error>,
    over: (stream: QuicheStream) => void,
    held?: HeldBytes,
  ) {
    this.#stream = stream;
    this.#lost = lost;
    this.#received = new ReceiveQueue(maxUnreadBytes, held);
    stream.on('data', (bytes: Buffer) => {
      if (this.#received.push(bytes)) return;
      this.reset(held?.fits(bytes.length) === false ? 'TOO_MANY_REQUESTS' : 'MESSAGE_TOO_LARGE');
    });
    stream.on('end', () => {
      this.#ended = true;
      this.#received.end();
    });
    stream.on('error', (error) => {
      if (!this.#failure) void this.#failureOf(error).then((failure) => this.fail(failure));
    });
    stream.on('close', () => {
      held?.end();
      over(this);
      if (!this.#failure && !this.#ended && !stream.errored)
        void lost().then((failure) => this.fail(failure));
    });
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#received.read();
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#stream.write(bytes, (error) => (error ? resolve(this.#reject(error)) : resolve()));
    });
  }

  end(bytes?: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const done = (error?: Error | null) => (error ? resolve(this.#reject(error)) : resolve());
      if (bytes) this.#stream.end(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), done);
      else this.#stream.end(done);
    });
  }

  reset(reason: ResetReason): void {
    if (this.#failure || this.#stream.destroyed) return;
    this.#fail(new StreamReset(reason));
    // `destroy` would not notify the peer, and would keep the stream in the library.
    this.#stream.close(toCloseNumber(reason));
  }

  /** The connection ended, or the peer reset the stream. */
  fail(error: Error): void {
    if (this.#failure) return;
    this.#fail(error);
    this.#stream.destroy();
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#received.fail(error);
  }

  async #reject(error: Error): Promise<never> {
    throw this.#failure ?? (await this.#failureOf(error));
  }

  /**
   * The library reports a reset only as text: `StreamReset(7)`, `StreamStopped(7)`, `stream reset: 7`. When a connection closes,
   * its streams may learn of the close before the connection does.
   */
  async #failureOf(error: Error): Promise<Error> {
    const number = /(?:StreamReset|StreamStopped)\((\d+)\)|stream reset: (\d+)/.exec(error.message);
    return number ? new StreamReset(resetReasonOf(Number(number[1] ?? number[2]))) : this.#lost();
  }
}
