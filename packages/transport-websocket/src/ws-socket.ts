// A WebSocket of `ws` as what carries a channel.

import { type MessageSocket, maxNoiseBytes, type SocketListener } from '@palyra/channel';
import type { WebSocket } from 'ws';

/** Bytes that wait in the socket before a writer has to. */
const enoughBytes = 262_144;
/** Pieces that a message may come in; a proxy may cut it. */
const maxFragments = 256;
/** PINGs of the WebSocket itself whose answers the peer has not taken. */
const maxPendingPongs = 16;
/** For the peer's own close, ms. */
const closeTimeoutMs = 1_000;
const unsupportedData = 1003;

/** What both ends tell `ws`: messages of the channel, and nothing compressed. */
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
    // Its `close` follows.
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
    // Also when it fails: whoever waits learns of that from the end of the connection.
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
