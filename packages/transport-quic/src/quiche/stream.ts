// A stream of the library as one of ours. The library never slows a sender down for a reader that does not read, so
// the bound on what waits is kept here.

import type { QuicStream as LibraryStream } from '@currentspace/http3';
import { IdentityError } from '@palyra/identity';
import { type QuicResetReason, QuicStreamReset, resetReasonOf, toCloseNumber } from '../close-code.ts';
import type { QuicStream } from '../contract.ts';
import { ReceiveQueue } from '../receive-queue.ts';

export class QuicheStream implements QuicStream {
  readonly #stream: LibraryStream;
  readonly #received: ReceiveQueue;
  #failure: Error | undefined;
  #ended = false;

  constructor(stream: LibraryStream, maxUnreadBytes: number, over: (stream: QuicheStream) => void) {
    this.#stream = stream;
    this.#received = new ReceiveQueue(maxUnreadBytes);
    stream.on('data', (bytes: Buffer) => {
      if (!this.#received.push(bytes)) this.reset('MESSAGE_TOO_LARGE');
    });
    stream.on('end', () => {
      this.#ended = true;
      this.#received.end();
    });
    stream.on('error', (error) => this.fail(failureOf(error)));
    stream.on('close', () => {
      if (!this.#ended) this.#received.fail(lost());
      over(this);
    });
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#received.read();
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#stream.write(bytes, (error) => (error ? reject(this.#failure ?? failureOf(error)) : resolve()));
    });
  }

  end(bytes?: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const done = (error?: Error | null) => (error ? reject(this.#failure ?? failureOf(error)) : resolve());
      if (bytes) this.#stream.end(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), done);
      else this.#stream.end(done);
    });
  }

  reset(reason: QuicResetReason): void {
    if (this.#failure || this.#stream.destroyed) return;
    this.#fail(new QuicStreamReset(reason));
    // `destroy` would tell the peer nothing and keep the stream in the library.
    this.#stream.close(toCloseNumber(reason));
  }

  /** The connection is gone, or the peer reset the stream. */
  fail(error: Error): void {
    if (this.#failure) return;
    this.#fail(error);
    this.#stream.destroy();
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#received.fail(error);
  }
}

/** The library tells a reset only in words: `StreamReset(7)`, `StreamStopped(7)`, `stream reset: 7`. */
function failureOf(error: Error): Error {
  const number = /(?:StreamReset|StreamStopped)\((\d+)\)|stream reset: (\d+)/.exec(error.message);
  return number ? new QuicStreamReset(resetReasonOf(Number(number[1] ?? number[2]))) : lost(error);
}

function lost(cause?: Error): IdentityError {
  return new IdentityError('UNREACHABLE', 'The stream ended with its connection.', cause ? { cause } : {});
}
