// The queue of outgoing frames. Packs as many as fit into one message, seals messages in order, and waits for the socket.

import { concat } from '@palyra/rpc/portable';
import { frameType, maxPlaintextBytes } from './frame.ts';
import type { MessageSocket } from './message-socket.ts';
import type { CipherState } from './noise/cipher-state.ts';

/** Bytes queued here before a writer has to wait. */
const enoughBytes = 65_536;
/** Most queued RESET and PONG frames. A peer can cause them without reading, and no writer waits for them. */
const maxWaitingReplies = 2_000;
const nothing = new Uint8Array();

export class Outbox {
  readonly #socket: MessageSocket;
  readonly #cipher: CipherState;
  readonly #failed: (error: unknown) => void;
  #frames: Uint8Array[] = [];
  #bytes = 0;
  #replies = 0;
  #isSending = false;
  #isOver = false;
  #writers: (() => void)[] = [];
  #whenEmpty: (() => void)[] = [];

  /** @param failed called when nothing more can be sent. */
  constructor(socket: MessageSocket, cipher: CipherState, failed: (error: unknown) => void) {
    this.#socket = socket;
    this.#cipher = cipher;
    this.#failed = failed;
  }

  /** @returns a promise that resolves when there is room for more. Undefined if there is room already. */
  put(frame: Uint8Array): Promise<void> | undefined {
    if (this.#isOver) return undefined;
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (isReply(frame) && ++this.#replies > maxWaitingReplies) {
      this.#fail(new Error('the peer does not read the frames that it causes'));
      return undefined;
    }
    if (!this.#isSending) {
      this.#isSending = true;
      // Frames that are put in the same turn share a message.
      queueMicrotask(() => void this.#send());
    }
    if (this.#bytes < enoughBytes) return undefined;
    return new Promise((resolve) => this.#writers.push(resolve));
  }

  /** Calls `done` when all frames have been handed to the socket. */
  whenEmpty(done: () => void): void {
    if (this.#isSending) this.#whenEmpty.push(done);
    else done();
  }

  /** Drops the queue and sends nothing more. */
  stop(): void {
    this.#isOver = true;
    this.#frames = [];
    this.#bytes = 0;
    this.#replies = 0;
    this.#wake();
  }

  async #send(): Promise<void> {
    try {
      while (this.#frames.length > 0) {
        const sealed = this.#cipher.seal(nothing, this.#take());
        const room = this.#socket.send(sealed instanceof Promise ? await sealed : sealed);
        if (room) await room;
        if (this.#bytes < enoughBytes) this.#wake();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#isSending = false;
    this.#wake();
    for (const done of this.#whenEmpty.splice(0)) done();
  }

  #fail(error: unknown): void {
    this.stop();
    this.#failed(error);
  }

  #take(): Uint8Array {
    let size = 0;
    let count = 0;
    for (const frame of this.#frames) {
      if (size + frame.length > maxPlaintextBytes) break;
      size += frame.length;
      count += 1;
      if (isReply(frame)) this.#replies -= 1;
    }
    this.#bytes -= size;
    return concat(this.#frames.splice(0, count));
  }

  #wake(): void {
    for (const writer of this.#writers.splice(0)) writer();
  }
}

const isReply = ([type]: Uint8Array) => type === frameType.reset || type === frameType.pong;
