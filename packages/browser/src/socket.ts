// Adapts a WebSocket of the browser to the socket that carries a channel.

import { type MessageSocket, maxNoiseBytes, type SocketListener } from '@palyra/channel';

/** Bytes queued in the socket before a writer has to wait. */
const enoughBytes = 262_144;
/** Interval of checks for room in the socket, ms. A browser does not report when there is room again. */
const roomCheckMs = 10;
/** Unread bytes that end the connection, because a page cannot make the browser stop reading. */
const maxWaitingBytes = 8 * 1024 * 1024;
const lost = 1006;

export class BrowserSocket implements MessageSocket {
  readonly #socket: WebSocket;
  #listener: SocketListener | undefined;
  #isPaused = false;
  #waitingBytes = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }: { data: unknown }) => this.#take(data);
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.#over(code, reason);
  }

  hear(listener: SocketListener): void {
    this.#listener = listener;
  }

  send(message: Uint8Array): Promise<void> | undefined {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return undefined;
    socket.send(message as Uint8Array<ArrayBuffer>);
    return socket.bufferedAmount < enoughBytes ? undefined : this.#room();
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.close();
    this.#over(lost, '');
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#waitingBytes = 0;
  }

  async #room(): Promise<void> {
    const socket = this.#socket;
    while (socket.readyState === socket.OPEN && socket.bufferedAmount >= enoughBytes)
      await new Promise((resolve) => setTimeout(resolve, roomCheckMs));
  }

  #take(data: unknown): void {
    if (this.#isPaused && data instanceof ArrayBuffer) this.#waitingBytes += data.byteLength;
    const isTaken = data instanceof ArrayBuffer && data.byteLength <= maxNoiseBytes;
    if (isTaken && this.#waitingBytes <= maxWaitingBytes) this.#listener?.message(new Uint8Array(data));
    else this.terminate();
  }

  #over(code: number, reason: string): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.closed(code, reason);
  }
}
