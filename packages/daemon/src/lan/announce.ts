// Answers devices that search for daemons on the local network (RFC 6762). An answer reveals only what a port scan would, and
// the trust domain. No failure here affects the rest of the daemon.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { BlockList } from 'node:net';
import { IdentityError } from '@palyra/identity';
import { codeOf, reasonOf } from '@palyra/identity/values';
import dnsPacket, { type Answer, type Question } from 'dns-packet';
import { type Family, type LanInterface, lanInterfaces } from './interfaces.ts';
import {
  type Announced,
  asksFor,
  asksForServices,
  decodeQuery,
  isQuery,
  multicastGroups,
  multicastPort,
  recordsOf,
  serviceRecord,
} from './records.ts';

export interface AnnouncerOptions extends Announced {
  /** The host that the pairing listener binds. Unless it is a wildcard, only this address is announced. */
  readonly host: string;
  /** Called once, with the first error that prevents announcements. */
  readonly onError: (error: unknown, where: string) => void;
}

/** How often to look for new interfaces, ms. */
const updateMs = 5_000;
/** Shortest time between two multicasts of a record (RFC 6762, 6) and between two announcements (8.3). */
const apartMs = 1_000;
/** Unicast answers within `apartMs`, on all interfaces together. */
const maxUnicast = 20;
/** Queries read within `apartMs`. A network may carry many queries for other services. */
const maxQueries = 200;
/** Short lifetimes for a querier that asks from another port, and so keeps no multicast DNS cache (RFC 6762, 6.7). */
const legacyLives = { hostS: 10, otherS: 10 };

export class LanAnnouncer {
  readonly #options: AnnouncerOptions;
  readonly #speakers = new Map<Family, Speaker>();
  readonly #timer: NodeJS.Timeout;
  #reported = false;
  #closed = false;
  #updating: Promise<void>;

  /** Starts announcing. Never throws and never waits. */
  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#updating = this.#update();
    this.#timer = setInterval(() => {
      this.#updating = this.#updating.then(() => this.#update());
    }, updateMs).unref();
  }

  /** Announces that the daemon is leaving, and closes the sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#updating;
    await Promise.all([...this.#speakers.values()].map((each) => each.close()));
  }

  /** Starts announcing on new interfaces. */
  async #update(): Promise<void> {
    if (this.#closed) return;
    const interfaces = announcedOn(this.#options.host);
    for (const family of ['IPv4', 'IPv6'] as const) {
      const own = interfaces.filter((each) => each.family === family);
      try {
        let speaker = this.#speakers.get(family);
        if (!speaker && own.length > 0) {
          speaker = await Speaker.open(family, this.#options);
          this.#speakers.set(family, speaker);
        }
        speaker?.hold(own);
      } catch (cause) {
        this.#report(cause);
      }
    }
  }

  #report(cause: unknown): void {
    if (this.#reported) return;
    this.#reported = true;
    const message = `Devices on the local network cannot find this daemon: ${reasonOf(cause)}. Give them its address. To switch the announcement off, set "announce": false in config.json.`;
    this.#options.onError(new IdentityError('UNREACHABLE', message, { cause }), 'announcing');
  }
}

/** A listener on one address is announced only on the interface that has this address. */
function announcedOn(host: string): LanInterface[] {
  const all = lanInterfaces();
  if (host === '::') return all;
  if (host === '0.0.0.0') return all.filter(({ family }) => family === 'IPv4');
  return all
    .map((each) => ({ ...each, addresses: each.addresses.filter(({ address }) => address === host) }))
    .filter(({ addresses }) => addresses.length > 0);
}

/** One family's socket. */
class Speaker {
  readonly #family: Family;
  readonly #socket: Socket;
  readonly #announced: Announced;
  #interfaces: readonly LanInterface[] = [];
  /** Multicasts are sent one after the other, because the outgoing interface is a setting of the socket. */
  #sending = Promise.resolve();
  #multicastAt = Number.NEGATIVE_INFINITY;
  #next: NodeJS.Timeout | undefined;
  readonly #unicast = new Share(maxUnicast);
  readonly #queries = new Share(maxQueries);

  static async open(family: Family, announced: Announced): Promise<Speaker> {
    const isIpv4 = family === 'IPv4';
    const socket = createSocket({ type: isIpv4 ? 'udp4' : 'udp6', reuseAddr: true, ipv6Only: !isIpv4 });
    try {
      await once(socket.bind({ port: multicastPort, address: isIpv4 ? '0.0.0.0' : '::' }), 'listening');
      socket.setMulticastTTL(255);
    } catch (error) {
      socket.close();
      throw error;
    }
    return new Speaker(family, socket, announced);
  }

  private constructor(family: Family, socket: Socket, announced: Announced) {
    this.#family = family;
    this.#socket = socket.unref();
    this.#announced = announced;
    socket.on('error', () => {});
    socket.on('message', (bytes, from) => this.#hear(bytes, from));
  }

  /** Joins the multicast group on each interface. @throws the first error, after trying every interface. */
  hold(interfaces: readonly LanInterface[]): void {
    this.#interfaces = interfaces;
    const failures: unknown[] = [];
    for (const { handle } of interfaces) {
      try {
        this.#socket.addMembership(multicastGroups[this.#family], handle);
        this.#multicastSoon();
      } catch (error) {
        // EADDRINUSE: already a member. An interface that went away and came back has to be joined again.
        if (codeOf(error) !== 'EADDRINUSE') failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async close(): Promise<void> {
    clearTimeout(this.#next);
    this.#multicast({ hostS: 0, otherS: 0 });
    await this.#sending;
    this.#socket.close();
  }

  /** Never throws: anybody can send these packets. */
  #hear(bytes: Buffer, from: RemoteInfo): void {
    try {
      // A forged packet may carry source port 0, to which nothing can be sent.
      if (from.port === 0 || !isQuery(bytes) || !this.#queries.take()) return;
      const query = decodeQuery(bytes);
      const questions = query?.questions.filter(
        (each) => asksFor(each, this.#announced) || asksForServices(each),
      );
      if (!query || !questions?.[0]) return;
      if (from.port === multicastPort) this.#multicastSoon();
      else this.#answer(query.id, questions[0], from);
    } catch {
      // A packet that cannot be answered is dropped.
    }
  }

  /**
   * Answers one querier, which must be on the network of an interface, because an answer is larger than its question. Repeats
   * only the question that is answered.
   */
  #answer(id: number, question: Question, from: RemoteInfo): void {
    const at = this.#interfaces.find((each) => isNeighbour(each, from.address));
    if (!at || !this.#unicast.take()) return;
    const answers = [...this.#records(at, legacyLives), serviceRecord].map((each) => ({
      ...each,
      flush: false,
    }));
    const answer = dnsPacket.encode({
      type: 'response',
      id,
      flags: dnsPacket.AUTHORITATIVE_ANSWER,
      questions: [question],
      answers,
    });
    this.#socket.send(answer, from.port, from.address, () => {});
  }

  #multicastSoon(): void {
    if (this.#next) return;
    const waitMs = Math.max(0, this.#multicastAt + apartMs - performance.now());
    this.#next = setTimeout(() => {
      this.#next = undefined;
      this.#multicast();
    }, waitMs).unref();
  }

  #multicast(lives?: { readonly hostS: number; readonly otherS: number }): void {
    this.#multicastAt = performance.now();
    for (const at of this.#interfaces) {
      const answers = [...this.#records(at, lives), ...(lives ? [] : [serviceRecord])];
      const packet = dnsPacket.encode({ type: 'response', flags: dnsPacket.AUTHORITATIVE_ANSWER, answers });
      this.#sending = this.#sending.then(() => this.#send(packet, at));
    }
  }

  /** Ignores failures: the interface may have gone away. */
  #send(packet: Buffer, { handle }: LanInterface): Promise<void> {
    return new Promise((resolve) => {
      try {
        this.#socket.setMulticastInterface(handle);
        this.#socket.send(packet, multicastPort, multicastGroups[this.#family], () => resolve());
      } catch {
        resolve();
      }
    });
  }

  #records(
    { addresses }: LanInterface,
    lives?: { readonly hostS: number; readonly otherS: number },
  ): Answer[] {
    return recordsOf(
      this.#announced,
      addresses.map(({ address }) => address),
      lives,
    );
  }
}

/** Allows a number of uses within `apartMs`. */
class Share {
  readonly #most: number;
  #since = 0;
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  take(): boolean {
    const now = performance.now();
    if (now - this.#since > apartMs) [this.#since, this.#count] = [now, 0];
    this.#count += 1;
    return this.#count <= this.#most;
  }
}

function isNeighbour({ family, name, addresses }: LanInterface, address: string): boolean {
  const [plain, zone] = address.split('%') as [string, string?];
  if (zone !== undefined && zone !== name) return false;
  const subnets = new BlockList();
  for (const { cidr } of addresses) {
    const [network, bits] = cidr?.split('/') ?? [];
    if (network && bits) subnets.addSubnet(network, Number(bits), family === 'IPv4' ? 'ipv4' : 'ipv6');
  }
  return subnets.check(plain, family === 'IPv4' ? 'ipv4' : 'ipv6');
}
