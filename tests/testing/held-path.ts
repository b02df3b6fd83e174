// Network paths between a device and its daemon under the control of a test: it can hold, lose and delay data, and
// change the source port.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type { Scope } from './palyra-process.ts';

/** A path that a test can hold: it keeps the device's data, in order, until the release. */
export interface HeldPath {
  readonly address: string;
  /** Number of held bytes from the device. */
  readonly heldBytes: number;
  hold(): void;
  release(): void;
}

const here = '127.0.0.1';
const portOf = (address: string) => Number(address.slice(address.lastIndexOf(':') + 1));

/** A path of connections, which a test can also end. */
export interface TcpPath extends HeldPath {
  /** How many there were so far. */
  readonly connections: number;
  /** Breaks all connections that there are. */
  cut(): void;
  /** Carries nothing more over the connections that there are, and tells neither side. */
  mute(): void;
}

export async function heldTcpPath(scope: Scope, target: string): Promise<TcpPath> {
  const held: (() => void)[] = [];
  const sockets = new Set<net.Socket>();
  const muted = new WeakSet<net.Socket>();
  let holding = false;
  let heldBytes = 0;
  let connections = 0;
  const server = net.createServer((near) => {
    connections += 1;
    const far = net.connect(portOf(target), here);
    for (const each of [near, far]) {
      sockets.add(each);
      each.on('error', () => {});
      each.setNoDelay(true);
    }
    near.on('data', (bytes: Buffer) => {
      if (muted.has(near)) return;
      if (!holding) return void far.write(bytes);
      heldBytes += bytes.length;
      held.push(() => far.write(bytes));
    });
    near.on('close', () => {
      if (!muted.has(near)) far.destroy();
    });
    far.on('data', (bytes: Buffer) => {
      if (!muted.has(far)) near.write(bytes);
    });
    far.on('end', () => {
      if (!muted.has(far)) near.end();
    });
  });
  server.listen(0, here);
  await once(server, 'listening');
  scope.after(async () => {
    for (const each of sockets) each.destroy();
    server.close();
  });
  return {
    address: `${here}:${(server.address() as AddressInfo).port}`,
    get heldBytes() {
      return heldBytes;
    },
    get connections() {
      return connections;
    },
    hold: () => {
      holding = true;
    },
    release: () => {
      holding = false;
      for (const send of held.splice(0)) send();
    },
    cut: () => {
      for (const each of sockets) each.destroy();
      sockets.clear();
    },
    mute: () => {
      for (const each of sockets) muted.add(each);
    },
  };
}

/** The fate of each packet on a UDP path: undefined loses it, a number delays it, ms. */
export type Weather = () => number | undefined;

/** The UDP path of one device. */
export class UdpPath implements HeldPath {
  weather: Weather = () => 0;
  heldBytes = 0;
  /** Lost and delivered packets, in both directions. */
  lost = 0;
  carried = 0;
  readonly #target: number;
  readonly #front = createSocket('udp4');
  readonly #held: (() => void)[] = [];
  readonly #old: Socket[] = [];
  #back: Socket | undefined;
  #client: AddressInfo | undefined;
  #holding = false;
  #closed = false;

  static async to(scope: Scope, target: string): Promise<UdpPath> {
    const path = new UdpPath(portOf(target));
    await bind(path.#front);
    await path.rebind();
    scope.after(async () => path.#close());
    return path;
  }

  private constructor(target: number) {
    this.#target = target;
    this.#front.on('message', (packet, from) => {
      this.#client = from;
      const send = () => this.#send(() => this.#back?.send(packet, this.#target, here));
      if (!this.#holding) return send();
      this.heldBytes += packet.length;
      this.#held.push(send);
    });
  }

  get address(): string {
    return `${here}:${this.#front.address().port}`;
  }

  hold(): void {
    this.#holding = true;
  }

  release(): void {
    this.#holding = false;
    for (const send of this.#held.splice(0)) send();
  }

  /** Changes the source port that the daemon sees, like a NAT that forgot the first. Loses the packets in flight. */
  async rebind(): Promise<void> {
    if (this.#back) this.#old.push(this.#back.removeAllListeners('message'));
    const back = createSocket('udp4', (packet) => {
      this.#send(() => this.#client && this.#front.send(packet, this.#client.port, here));
    });
    await bind(back);
    this.#back = back;
  }

  #send(send: () => void): void {
    const delayMs = this.weather();
    if (delayMs === undefined || this.#closed) {
      this.lost += 1;
      return;
    }
    this.carried += 1;
    if (delayMs === 0) send();
    else setTimeout(() => this.#closed || send(), delayMs).unref();
  }

  #close(): void {
    this.#closed = true;
    for (const each of [this.#front, this.#back, ...this.#old]) each?.close();
  }
}

const bind = (socket: Socket) => new Promise<void>((resolve) => socket.bind(0, here, resolve));
