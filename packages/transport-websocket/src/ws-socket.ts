// Adapts a WebSocket of `ws` to the socket that carries a channel.

import { type MessageSocket, maxNoiseBytes, type SocketListener } from '@palyra/channel';
import type { WebSocket } from 'ws';

/** Bytes queued in the socket before a writer has to wait. */
const enoughBytes = 262_144;
/** Most fragments of one message. A proxy may split messages. */
const maxFragments = 256;
/** Most answers to WebSocket PINGs that the peer has not read yet. */
const maxPendingPongs = 16;
/** Time for the peer's close frame, ms. */
const closeTimeoutMs = 1_000;
const unsupportedData = 1003;

/** Options of `ws` for both ends: the limits of channel messages, and no compression. */
export const webSocketOptions = {
  maxPayload: maxNoiseBytes,
  maxFragments,
  maxPendingAutoPongs: maxPendingPongs,
  perMessageDeflate: false,
  skipUTF8Validation: false,
  closeTimeout: closeTimeoutMs,
};

export class WsSocket implements MessageSocket {
  readonly #socket: WebSocket;
  #listener: SocketListener | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    // A `close` event follows.
    socket.on('error', () => {});
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.#listener?.message(data);
      else this.close(unsupportedData, '');
    });
    socket.on('close', (code: number, reason: Buffer) => this.#listener?.closed(code, reason.toString()));
  }

  hear(listener: SocketListener): void {
    this.#listener = listener;
  }

  send(message: Uint8Array): Promise<void> | undefined {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return undefined;
    if (socket.bufferedAmount < enoughBytes) {
      socket.send(message, ignore);
      return undefined;
    }
    // Resolves after a failure too. The writer notices the failure when the connection ends.
    return new Promise((resolve) => socket.send(message, () => resolve()));
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

const ignore = () => {};
