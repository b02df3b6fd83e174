// Adapts a stream of the library to the stream contract. The library never slows a sender down when the reader does not read, so
// this file limits the unread bytes.

import type { QuicStream as LibraryStream } from '@currentspace/http3';
import { afterRefusal } from '@palyra/identity/device';
import type { ByteStream, HeldBytes } from '@palyra/rpc/portable';
import {
  ReceiveQueue,
  type ResetReason,
  resetReasonOf,
  StreamReset,
  toCloseNumber,
} from '@palyra/rpc/portable';

/** What is done to the bytes of a stream on their way. */
export interface StreamCoding {
  readonly seal?: (bytes: Uint8Array) => Uint8Array;
  /** May throw. */
  readonly open?: (bytes: Uint8Array) => readonly Uint8Array[];
  /** Called with the error of `open`. */
  readonly broken?: (error: unknown) => void;
}

export class QuicheStream implements ByteStream {
  readonly #stream: LibraryStream;
  readonly #lost: () => Promise<Error>;
  readonly #received: ReceiveQueue;
  readonly #coding: StreamCoding;
  #failure: Error | undefined;
  #ended = false;

  /**
   * @param lost resolves with the reason why the connection ended.
   * @param options.held counts the unread bytes.
   */
  constructor(
    stream: LibraryStream,
    maxUnreadBytes: number,
    lost: () => Promise<Error>,
    over: () => void,
    { held, ...coding }: StreamCoding & { readonly held?: HeldBytes } = {},
  ) {
    this.#coding = coding;
    this.#stream = stream;
    this.#lost = lost;
    this.#received = new ReceiveQueue(maxUnreadBytes, held);
    stream.on('data', (bytes: Buffer) => {
      for (const each of this.#open(bytes)) {
        if (this.#received.push(each)) continue;
        this.reset(held?.fits(each.length) === false ? 'TOO_MANY_REQUESTS' : 'MESSAGE_TOO_LARGE');
        return;
      }
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
      over();
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
      this.#stream.write(this.#sealed(bytes), (error) => (error ? resolve(this.#reject(error)) : resolve()));
    });
  }

  end(bytes?: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const done = (error?: Error | null) => (error ? resolve(this.#reject(error)) : resolve());
      if (bytes) this.#stream.end(this.#sealed(bytes), done);
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

  #open(bytes: Uint8Array): readonly Uint8Array[] {
    const { open, broken } = this.#coding;
    if (!open) return [bytes];
    try {
      return open(bytes);
    } catch (error) {
      broken?.(error);
      return [];
    }
  }

  #sealed(bytes: Uint8Array): Buffer {
    const { buffer, byteOffset, byteLength } = this.#coding.seal?.(bytes) ?? bytes;
    return Buffer.from(buffer, byteOffset, byteLength);
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
    if (!number) return this.#lost();
    const reason = resetReasonOf(Number(number[1] ?? number[2]));
    // A reset is not sealed either (closeReason): of these codes, the connection's GOAWAY tells.
    const isToldByGoaway = this.#coding.open && reason !== 'CANCELLED' && afterRefusal(reason) !== 'retry';
    return isToldByGoaway ? this.#lost() : new StreamReset(reason);
  }
}
