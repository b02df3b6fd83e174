// The link between a device and the daemon: both sides' checks of each other's certificates, calls that get lost on the way
// there or back, and a device that may die before or after each call.

import { X509Certificate } from 'node:crypto';
import { IdentityError } from '@palyra/identity';
import { TlsKey } from '@palyra/identity/certificate';
import type { PairedEnrollment, PairingPeer, RecoveryPeer } from '@palyra/identity/device';
import type { Clock } from '@palyra/identity/values';
import { NodeService } from '@palyra/rpc';
import type { Random } from '../random.ts';
import type { Agenda } from './agenda.ts';
import { leadsTo, peerCertificate } from './chain.ts';
import { type Authority, type Connection, unreachable } from './daemon.ts';
import type { Invariants } from './invariants.ts';
import type { Mortal } from './mortal.ts';

/** Probability of losing a request or an answer. */
const usualLoss = 0.01;
const badLoss = 0.5;

export interface LinkOptions {
  readonly agenda: Agenda;
  readonly daemon: Authority;
  readonly invariants: Invariants;
  readonly random: Random;
  /** The device's clock. */
  readonly clock: Clock;
  /** The device's current process. */
  readonly process: () => Mortal;
}

export class Link {
  /** False when nothing gets lost any more. */
  hasFaults = true;
  readonly #options: LinkOptions;
  #source: string;
  #badUntilMs = 0;
  #keyChecked: PairedEnrollment | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#source = this.#somewhere();
  }

  get isBad(): boolean {
    return this.hasFaults && this.#options.agenda.nowMs < this.#badUntilMs;
  }

  move(): void {
    this.#source = this.#somewhere();
  }

  beBadFor(ms: number): void {
    this.#badUntilMs = this.#options.agenda.nowMs + ms;
  }

  /**
   * A connection to the node listener, and the first call on it.
   * @param shut called when the daemon ends the connection.
   * @throws as `checkDaemon`, and the code that refuses the certificate.
   */
  async dial(paired: PairedEnrollment, shut: (connection: Connection) => void): Promise<Connection> {
    this.checkDaemon(paired);
    this.#checkKey(paired);
    let connection: Connection | undefined;
    try {
      await this.call(async () => {
        connection = await this.#options.daemon.accept(paired.certificateChain, this.#source, () => {
          if (connection) shut(connection);
        });
      });
      await this.call(async () => connection?.call(NodeService.method.status, async () => undefined));
      return connection!;
    } catch (error) {
      connection?.close();
      throw error;
    }
  }

  /** The checks of TLS and the dialer on the daemon's certificate. @throws UNREACHABLE, CLOCK_SKEW, DAEMON_NOT_AUTHENTICATED */
  checkDaemon(paired: PairedEnrollment): void {
    const { chain, daemonId } = this.#options.daemon.presented();
    const { notBefore, notAfter, spiffeId } = peerCertificate(chain[0]!);
    if (!leadsTo(chain, paired.trustBundle) || spiffeId.kind !== 'daemon' || spiffeId.id !== daemonId)
      throw new IdentityError('DAEMON_NOT_AUTHENTICATED', 'The peer is not the daemon this device knows.');
    const now = this.#options.clock.now();
    if (now < notBefore || now > notAfter)
      throw new IdentityError('CLOCK_SKEW', "The daemon's certificate is not valid now.");
  }

  /** The pairing listener's calls on a new channel. */
  pairingPeer(): PairingPeer & RecoveryPeer {
    const peer = this.#options.daemon.pairingPeer(this.#source);
    const call = <T>(work: () => Promise<T>) => this.call(work);
    return {
      channelBinding: peer.channelBinding,
      isKnownDaemon: peer.isKnownDaemon,
      open: (request) => call(() => peer.open(request)),
      exchange: (request) => call(() => peer.exchange(request)),
      confirm: (request) => call(() => peer.confirm(request)),
      challenge: () => call(() => peer.challenge()),
      recover: (request) => call(() => peer.recover(request)),
      async *await(request, signal) {
        for await (const update of peer.await(request, signal)) yield await call(async () => update);
      },
    };
  }

  async call<T>(work: () => Promise<T>): Promise<T> {
    const { invariants, random, process } = this.#options;
    return process().step(async () => {
      const loss = this.hasFaults ? (this.isBad ? badLoss : usualLoss) : 0;
      if (random.chance(loss / 2)) throw unreachable();
      const answer = await work();
      if (!random.chance(loss)) return answer;
      invariants.happened('answer lost');
      throw unreachable();
    });
  }

  /** TLS would fail without the certificate's own key. */
  #checkKey(paired: PairedEnrollment): void {
    if (this.#keyChecked === paired) return;
    const certificate = new X509Certificate(paired.certificateChain[0]!);
    if (!TlsKey.fromPkcs8(paired.tlsKey).isKeyOf(certificate))
      this.#options.invariants.fail('a device does not have the key of its certificate');
    this.#keyChecked = paired;
  }

  #somewhere(): string {
    return `192.0.2.${this.#options.random.below(256)}`;
  }
}
