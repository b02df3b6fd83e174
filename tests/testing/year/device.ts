// A simulated device: the real library on a store that survives its crashes, an agent that decides like the real one,
// and random events in its life.

import { afterRefusal } from '@palyra/agent';
import { IdentityError, type IdentityErrorCode, MemorySecretStore } from '@palyra/identity';
import {
  awaitPairing,
  DeviceIdentity,
  dropEnrollment,
  loadEnrollments,
  type PairedEnrollment,
  type PairingDevice,
  type PendingEnrollment,
  recoverCertificate,
  renewalTime,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import type { Clock } from '@palyra/identity/values';
import { NodeService } from '@palyra/rpc';
import { type Random, seededCrypto } from '../random.ts';
import { sameIdOtherKey } from '../sample-device.ts';
import { wrongPin } from '../wrong-code.ts';
import type { Agenda } from './agenda.ts';
import { leadsTo, peerCertificate } from './chain.ts';
import type { Authority, Connection } from './daemon.ts';
import type { Invariants } from './invariants.ts';
import { Link } from './link.ts';
import { Crash, Mortal, mortalStore } from './mortal.ts';
import type { Operator } from './operator.ts';
import type { Thieves } from './thieves.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Time without the daemon after which an awake device counts as locked out. Long, because people are slow too. */
const strandedMs = 4 * day;
const maxDoublings = 6;
const address = 'daemon.example:7443';

export interface Surroundings {
  readonly agenda: Agenda;
  readonly daemon: Authority;
  readonly operator: Operator;
  readonly thieves: Thieves;
  readonly invariants: Invariants;
}

export class SimulatedDevice {
  readonly name: string;
  identity!: DeviceIdentity;
  /** False when everything works and it stays awake. */
  hasFaults = true;
  readonly #world: Surroundings;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #crypto: ReturnType<typeof seededCrypto>;
  readonly #link: Link;
  #disk = new MemorySecretStore();
  #loaded:
    | { readonly paired?: PairedEnrollment | undefined; readonly pending?: PendingEnrollment | undefined }
    | undefined;
  #process = new Mortal();
  #connection: Connection | undefined;
  #clockOffsetMs = 0;
  #isAwake = true;
  /** Its owner wants to pair it (again). */
  #wantsPairing = true;
  /** Its owner no longer uses it. */
  isRetired = false;
  #failures = 0;
  /** Since when it has had no contact with the daemon. */
  #aloneSinceMs = 0;
  /** How long this is allowed to last. */
  #patienceMs = strandedMs;
  /** Only the newest plan counts. */
  #plan = 0;
  #due: { readonly of: PairedEnrollment; readonly atMs: number } | undefined;
  #renewalRetryMs = 0;

  constructor(name: string, world: Surroundings, random: Random) {
    this.name = name;
    this.#world = world;
    this.#random = random;
    this.#clock = { now: () => new Date(this.#nowMs) };
    this.#crypto = seededCrypto(random.fork());
    const { agenda, daemon, invariants } = world;
    const process = () => this.#process;
    this.#link = new Link({ agenda, daemon, invariants, random, clock: this.#clock, process });
  }

  async begin(): Promise<void> {
    this.identity = await DeviceIdentity.create(this.#crypto, this.#clock);
    this.#aloneSinceMs = this.#world.agenda.nowMs;
    this.#planLife();
    this.#next(0);
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  get identityKey(): string {
    return Buffer.from(this.identity.publicKey).toString('hex');
  }

  /** The paired daemon, if any. */
  async paired(): Promise<PairedEnrollment | undefined> {
    return (await this.#enrollments()).paired;
  }

  /** The words of the pending request, as on its screen. */
  async words(): Promise<string | undefined> {
    return (await this.#enrollments()).pending?.words;
  }

  /** From now on nothing goes wrong. */
  settle(): void {
    this.hasFaults = false;
    this.#link.hasFaults = false;
    this.#process = new Mortal();
    this.#clockOffsetMs = 0;
    this.#wake();
  }

  /** Its owner pairs it again, although it is paired. */
  pairAgain(): void {
    this.#wantsPairing = true;
    if (this.#isAwake) this.#next(0);
  }

  /** Loses everything except its id. A thief may have the old disk. @returns the old key. */
  async reinstall(): Promise<void> {
    await this.steal();
    this.#hangUp();
    this.identity = await sameIdOtherKey(this.identity);
    this.#disk = new MemorySecretStore();
    this.#loaded = undefined;
    this.pairAgain();
  }

  /** Somebody copies all of its data. */
  async steal(): Promise<void> {
    const enrollment = await this.paired();
    if (enrollment) this.#world.thieves.take({ identity: this.identity, enrollment });
  }

  get #nowMs(): number {
    return this.#world.agenda.nowMs + this.#clockOffsetMs;
  }

  #next(ms: number): void {
    this.#plan += 1;
    const plan = this.#plan;
    this.#world.agenda.after(ms, async () => {
      if (plan !== this.#plan || !this.#isAwake || this.isRetired) return;
      const wait = await this.#run();
      if (plan === this.#plan && wait !== undefined) this.#next(wait);
    });
  }

  /** @returns when to continue; undefined if another event decides. */
  async #run(): Promise<number | undefined> {
    try {
      return await this.#act();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.#world.invariants.happened('device crashed', this.name);
      this.#hangUp();
      this.#process = new Mortal();
      return this.#random.between(10 * second, 3 * hour);
    }
  }

  async #act(): Promise<number | undefined> {
    const { paired, pending } = await this.#enrollments();
    if (this.#wantsPairing || !paired) return pending ? this.#collect(pending) : this.#request();
    return this.#connection ? this.#renew(paired, this.#connection) : this.#connect(paired);
  }

  /** The contents of the disk. Read again when they may have changed. */
  async #enrollments() {
    if (!this.#loaded) {
      const all = await loadEnrollments(this.#disk);
      this.#loaded = {
        // After the retirement of a root, the device pairs again, and the earlier record stays.
        paired: all
          .filter((each) => each.state === 'paired')
          .sort((one, other) => other.receivedAt - one.receivedAt)[0],
        pending: all.find((each) => each.state === 'pending'),
      };
    }
    return this.#loaded;
  }

  // Pairing.

  async #request(): Promise<number> {
    const { operator, invariants } = this.#world;
    try {
      const text = await operator.code();
      const code = this.hasFaults && this.#random.chance(0.05) ? wrongPin(text) : parsePairingCode(text);
      await requestPairing(this.#pairingDevice(), this.#link.pairingPeer(), code, address);
      invariants.happened('pairing requested', this.name);
      return this.#random.between(minute, hour);
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      invariants.happened(`request failed ${error.code}`, this.name);
      if (error.code === 'DEVICE_REVOKED') return this.#becomeAnother();
      if (error.code === 'CLOCK_SKEW') this.#clockOffsetMs = 0;
      this.#alone(error.code);
      return this.#random.between(minute, 3 * hour);
    }
  }

  async #collect(pending: PendingEnrollment): Promise<number> {
    const { invariants } = this.#world;
    const ended = new AbortController();
    try {
      await awaitPairing(this.#pairingDevice(), this.#link.pairingPeer(), pending, {
        signal: ended.signal,
        onState: ({ state }) => {
          if (state === 'pending_approval') ended.abort();
        },
      });
      invariants.obtained(this.identity.id, this.identityKey);
      invariants.happened('paired', this.name);
      this.#wantsPairing = false;
      this.#hangUp();
      return 0;
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      invariants.happened(`collect failed ${error.code}`, this.name);
      // After a restore the request is unknown, or the device was shut out meanwhile.
      if (
        ['PAIRING_NOT_FOUND', 'DEVICE_REVOKED', 'IDENTITY_KEY_CHANGED', 'CERTIFICATE_REVOKED'].includes(
          error.code,
        )
      )
        await dropEnrollment(this.#store(), pending);
      if (error.code === 'DEVICE_REVOKED') return this.#becomeAnother();
      this.#alone(error.code);
      return this.#random.between(5 * minute, hour);
    }
  }

  // The agent.

  async #connect(paired: PairedEnrollment): Promise<number | undefined> {
    const { invariants } = this.#world;
    try {
      this.#connection = await this.#link.dial(paired, (connection) => this.#shut(connection));
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      this.#refused(error, paired);
      switch (afterRefusal(error.code)) {
        case 'recover':
          return this.#recover(paired);
        case 'end':
          return this.#askForHelp(error.code);
        case 'retry':
          return this.#retry(error);
      }
    }
    invariants.happened('connected', this.name);
    this.#failures = 0;
    this.#patienceMs = strandedMs;
    this.#aloneSinceMs = Number.POSITIVE_INFINITY;
    this.#renewalRetryMs = 0;
    return this.#renewalDue(paired) - this.#nowMs;
  }

  async #recover(paired: PairedEnrollment): Promise<number | undefined> {
    try {
      this.#link.checkDaemon(paired);
      const channel = this.#link.pairingPeer();
      const device = { identity: this.identity, secrets: this.#store(), clock: this.#clock };
      await recoverCertificate(device, paired, channel);
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      this.#refused(error, paired);
      return afterRefusal(error.code) === 'end' ? this.#askForHelp(error.code) : this.#retry(error);
    }
    this.#world.invariants.obtained(this.identity.id, this.identityKey);
    this.#world.invariants.happened('recovered', this.name);
    return 0;
  }

  async #renew(paired: PairedEnrollment, connection: Connection): Promise<number> {
    const due = Math.max(this.#renewalDue(paired), this.#renewalRetryMs);
    if (this.#nowMs < due) return due - this.#nowMs;
    const device = { identity: this.identity, secrets: this.#store(), clock: this.#clock };
    try {
      await renewCertificate(device, paired, (proof) =>
        this.#link.call(() =>
          connection.call(NodeService.method.renew, (caller, { renewals }) => renewals.renew(caller, proof)),
        ),
      );
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      this.#refused(error, paired);
      const { notAfter } = peerCertificate(paired.certificateChain[0]!);
      const waitMs =
        error.retryAfterMs ??
        Math.max(5 * second, (notAfter.getTime() - this.#nowMs) * 0.1 * this.#random.between(0.5, 1));
      this.#renewalRetryMs = this.#nowMs + waitMs;
      // Some losses break the connection too.
      if (error.code === 'UNREACHABLE' && this.#random.chance(0.5)) this.#hangUp();
      return this.#connection ? waitMs : minute;
    }
    this.#world.invariants.obtained(this.identity.id, this.identityKey);
    this.#world.invariants.happened('renewed', this.name);
    this.#hangUp();
    return 0;
  }

  /** The agent's pause before the next attempt. */
  async #retry(error: IdentityError): Promise<number> {
    // The agent would retry for ever, but its owner gives up.
    if (error.code === 'DAEMON_NOT_AUTHENTICATED') return this.#askForHelp(error.code);
    this.#patienceMs = Math.max(this.#patienceMs, strandedMs + (error.retryAfterMs ?? 0));
    this.#failures = Math.min(this.#failures + 1, maxDoublings);
    this.#alone(error.code);
    // The pauses are longer than in reality, because a thousand attempts add nothing.
    if (error.code === 'RECOVERY_NEEDS_APPROVAL') return this.#random.between(hour, 6 * hour);
    if (error.code === 'CLOCK_SKEW') return 2 * hour;
    return error.retryAfterMs ?? 5 * minute * 2 ** this.#failures * this.#random.between(0.5, 1);
  }

  #renewalDue(paired: PairedEnrollment): number {
    if (this.#due?.of !== paired) {
      const atMs = renewalTime(paired, this.#random.next()).getTime();
      this.#due = { of: paired, atMs };
    }
    return this.#due.atMs;
  }

  // The owner.

  /** The agent has ended, and somebody notices sooner or later. */
  async #askForHelp(code: IdentityErrorCode): Promise<number> {
    this.#world.invariants.happened('asked for help', `${this.name} ${code}`);
    if (code === 'DEVICE_REVOKED') return this.#becomeAnother();
    this.#wantsPairing = true;
    return this.#random.between(hour, day);
  }

  /** A revoked device can return only as a new one. Some do not return. */
  async #becomeAnother(): Promise<number> {
    if (this.hasFaults && this.#random.chance(0.3)) {
      this.isRetired = true;
      return 0;
    }
    this.#hangUp();
    this.#disk = new MemorySecretStore();
    this.#loaded = undefined;
    this.identity = await DeviceIdentity.create(this.#crypto, this.#clock);
    this.#wantsPairing = true;
    this.#world.invariants.happened('became another device', this.name);
    return this.#random.between(hour, day);
  }

  // Random events.

  #planLife(): void {
    this.#world.agenda.after(this.#random.exponential(10 * day), () => {
      if (!this.hasFaults || this.isRetired) return;
      this.#live();
      this.#planLife();
    });
  }

  #live(): void {
    if (!this.#isAwake) return;
    const { invariants, agenda } = this.#world;
    const draw = this.#random.next();
    if (draw < 0.4) {
      this.#isAwake = false;
      // A closed lid ends no connection; a shutdown does.
      if (this.#random.chance(0.5)) this.#hangUp();
      else this.#connection = undefined;
      const length = this.#random.next();
      const asleepMs =
        length < 0.6
          ? this.#random.between(hour, 16 * hour)
          : length < 0.92
            ? this.#random.between(day, 8 * day)
            : this.#random.between(8 * day, 50 * day);
      invariants.happened('slept', this.name);
      agenda.after(asleepMs, () => this.#wake());
    } else if (draw < 0.65) {
      this.#link.move();
      this.#hangUp();
      invariants.happened('moved', this.name);
      this.#next(minute);
    } else if (draw < 0.8) {
      this.#clockOffsetMs = this.#random.between(-12, 12) * minute;
      invariants.happened('clock went wrong', this.name);
      agenda.after(this.#random.between(hour, 6 * day), () => {
        this.#clockOffsetMs = this.#random.between(-1, 1) * second;
      });
    } else if (draw < 0.98) {
      this.#process.dieAt(this.#random.below(10));
    } else {
      this.#link.beBadFor(this.#random.between(day, 6 * day));
      invariants.happened('bad link', this.name);
    }
  }

  #wake(): void {
    if (this.isRetired) return;
    this.#isAwake = true;
    this.#connection = undefined;
    this.#failures = 0;
    this.#aloneSinceMs = this.#world.agenda.nowMs;
    this.#next(this.#random.between(0, minute));
  }

  /** The daemon has ended this connection. */
  #shut(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#aloneSinceMs = this.#world.agenda.nowMs;
    this.#next(this.#random.between(second, minute));
  }

  #hangUp(): void {
    if (this.#connection) this.#aloneSinceMs = this.#world.agenda.nowMs;
    this.#connection?.close();
    this.#connection = undefined;
  }

  #pairingDevice(): PairingDevice {
    return {
      identity: this.identity,
      secrets: this.#store(),
      crypto: this.#crypto,
      clock: this.#clock,
      kind: 'node',
      name: this.name,
      platform: 'linux x64',
    };
  }

  #store() {
    this.#loaded = undefined;
    return mortalStore(this.#disk, this.#process);
  }

  #refused(error: IdentityError, paired: PairedEnrollment): void {
    const { daemon, invariants } = this.#world;
    const isOurs = daemon.isUp && leadsTo(paired.certificateChain.slice(1), daemon.presented().roots);
    invariants.refused(error, {
      deviceId: this.identity.id,
      identityKey: this.identityKey,
      serial: peerCertificate(paired.certificateChain[0]!).serial,
      daemonNowMs: daemon.nowMs,
      deviceNowMs: this.#nowMs,
      isOurs,
    });
  }

  #alone(code: IdentityErrorCode): void {
    const { agenda, daemon, invariants } = this.#world;
    if (!daemon.isUp || this.#link.isBad) this.#aloneSinceMs = agenda.nowMs;
    const aloneMs = agenda.nowMs - this.#aloneSinceMs;
    if (aloneMs > this.#patienceMs)
      invariants.fail(`device ${this.name} is locked out for ${Math.round(aloneMs / hour)} hours: ${code}`);
  }
}
