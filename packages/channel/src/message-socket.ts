// The socket that carries a channel. It delivers whole messages of bytes in order, as a WebSocket does.

export interface MessageSocket {
  /** @returns a promise that resolves when there is room for more. Undefined if there is room already. */
  send(message: Uint8Array): Promise<void> | undefined;
  /** Closes with a close frame. @param code see RFC 6455 7.4. */
  close(code: number, reason: string): void;
  /** Closes without a close frame. */
  terminate(): void;
  /** Sets the listener. May be called once. */
  hear(listener: SocketListener): void;
  /** Asks the peer to wait, if the transport supports this. */
  pause(): void;
  resume(): void;
}

export interface SocketListener {
  message(bytes: Uint8Array): void;
  /** The socket has closed. `code` and `reason` are not authenticated: a proxy may have set them. */
  closed(code: number, reason: string): void;
}

/** Messages queued here before the peer is asked to wait. */
const maxWaiting = 32;

/** The messages of a socket, one after the other. */
export class Inbox implements SocketListener {
  readonly #socket: MessageSocket;
  readonly #waiting: Uint8Array[] = [];
  #isPaused = false;
  #over: { readonly code: number; readonly reason: string } | undefined;
  #reader: { resolve(message: Uint8Array): void; reject(error: Error): void } | undefined;

  constructor(socket: MessageSocket) {
    this.#socket = socket;
    socket.hear(this);
  }

  message(bytes: Uint8Array): void {
    if (this.#reader) {
      const { resolve } = this.#reader;
      this.#reader = undefined;
      resolve(bytes);
      return;
    }
    this.#waiting.push(bytes);
    if (this.#waiting.length < maxWaiting || this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  closed(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = { code, reason };
    this.#reader?.reject(new SocketClosed(code, reason));
    this.#reader = undefined;
  }

  /** @throws SocketClosed after the last message. */
  next(): Promise<Uint8Array> {
    const message = this.#waiting.shift();
    if (message) {
      if (this.#isPaused && this.#waiting.length === 0) {
        this.#isPaused = false;
        this.#socket.resume();
      }
      return Promise.resolve(message);
    }
    if (this.#over) return Promise.reject(new SocketClosed(this.#over.code, this.#over.reason));
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }
}

export class SocketClosed extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string) {
    super(`the socket was closed: ${code}`);
    this.name = 'SocketClosed';
    this.code = code;
    this.reason = reason;
  }
}
