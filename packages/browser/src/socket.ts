// A WebSocket of the browser as what carries a channel.

import { type MessageSocket, maxNoiseBytes, type SocketListener } from '@palyra/channel';

/** Bytes that wait in the socket before a writer has to. */
const enoughBytes = 262_144;
/** A browser does not say when there is room again, ms between two looks. */
const lookMs = 10;
/** A browser cannot be asked to read no further: more than this, while nobody takes it, ends the connection, bytes. */
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
      await new Promise((resolve) => setTimeout(resolve, lookMs));
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
