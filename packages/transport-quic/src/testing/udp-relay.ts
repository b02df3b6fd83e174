// A path between a client and a server that a test can watch, cut and move.

import { createSocket, type Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';

export class UdpRelay {
  /** First bytes of each packet that the server sent, in order. */
  readonly fromServer: number[] = [];
  /** Decides whether a client's packet passes. Called for each packet with its number. */
  passes: (packet: number) => boolean = () => true;
  /** Decides whether a server's packet passes. */
  returns: (packet: number) => boolean = () => true;
  readonly #front: Socket;
  #back: Socket | undefined;
  #client: AddressInfo | undefined;
  #packets = 0;

  private constructor(serverPort: number) {
    this.#front = createSocket('udp4', (packet, from) => {
      this.#client = from;
      if (this.passes(this.#packets++)) this.#back?.send(packet, serverPort, '127.0.0.1');
    });
  }

  static async to(serverPort: number): Promise<UdpRelay> {
    const relay = new UdpRelay(serverPort);
    await bind(relay.#front);
    await relay.rebind();
    return relay;
  }

  get port(): number {
    return this.#front.address().port;
  }

  /** From now on the server sees another source port, as if a NAT had forgotten the first. */
  async rebind(): Promise<void> {
    this.#back?.close();
    this.#back = createSocket('udp4', (packet) => {
      const number = this.fromServer.push(packet[0]!);
      if (this.#client && this.returns(number)) this.#front.send(packet, this.#client.port, '127.0.0.1');
    });
    await bind(this.#back);
  }

  close(): void {
    this.#front.close();
    this.#back?.close();
  }
}

const bind = (socket: Socket) => new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
