// The certificate of an agent. It is renewed in time, recovered if it is no longer valid, and reloaded if another
// program on this machine has renewed it.

import type { Client } from '@connectrpc/connect';
import type { IdentityError } from '@palyra/identity';
import {
  type Instant,
  isOfSameDaemon,
  type KnownEndpoints,
  loadEnrollments,
  type PairedEnrollment,
  RenewalSchedule,
  recoverCertificate,
  renewCertificate,
  sameBytes,
  serialOf,
  storeToldEndpoints,
} from '@palyra/identity/device-portable';
import type { EndpointLists } from '@palyra/identity/values';
import type { Http2Connection } from '@palyra/rpc';
import { fromConnectError, type NodeService, recoveryPeer } from '@palyra/rpc/portable';
import { dialled } from './dialled.ts';
import type { AgentOptions } from './options.ts';

/** How often the renewal time is checked, ms: by the wall clock, to notice that the machine slept. */
const renewalTickMs = 5_000;
export const maxRetryAfterMs = 60 * 60_000;
/** Upper limit for a wait that the daemon asks for: it must not silence a device for days. */
const askedMs = ({ retryAfterMs }: IdentityError): number | undefined =>
  retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, maxRetryAfterMs);

export interface Renewal {
  done: boolean;
  /** Renews now if it is time. */
  readonly look: () => void;
  readonly stop: () => void;
}

export class AgentCertificate {
  readonly #options: AgentOptions;
  #enrollment: PairedEnrollment;
  #schedule: RenewalSchedule;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#enrollment = options.enrollment;
    this.#schedule = this.#scheduleOf(options.enrollment);
  }

  /** The enrollment with the present certificate. */
  get enrollment(): PairedEnrollment {
    return this.#enrollment;
  }

  /** Gets a new certificate with the identity key. @returns the reason if that fails. */
  async recover(): Promise<IdentityError | undefined> {
    const { device, dialRecovery, signal, onState } = this.#options;
    let connection: Http2Connection | undefined;
    const cut = () => connection?.destroy();
    try {
      connection = await dialled(signal, dialRecovery(this.#enrollment));
      signal.addEventListener('abort', cut);
      const peer = recoveryPeer(connection);
      await this.#exclusively(async () => {
        if (await this.adoptStored()) return;
        this.#hold(await recoverCertificate(device, this.#enrollment, peer));
        onState?.({ state: 'renewed', how: 'recovery', enrollment: this.#enrollment });
      });
      return undefined;
    } catch (error) {
      return fromConnectError(error);
    } finally {
      signal.removeEventListener('abort', cut);
      connection?.close();
    }
  }

  /**
   * Something else on this machine may have renewed it, or set its daemon's endpoints.
   * @returns whether it has another certificate.
   */
  async adoptStored(): Promise<boolean> {
    const { device, onState } = this.#options;
    const known = this.#enrollment;
    const records = (await loadEnrollments(device.secrets)).filter((each) => each.state === 'paired');
    // Another daemon that claims the same id has its own record, which is not for this agent.
    const stored =
      records.find((each) => each.root === known.root) ?? records.find((each) => isOfSameDaemon(known, each));
    if (!stored) return false;
    // Does not compare times, because the clock may have been set back.
    if (isSame(stored.certificateChain[0], known.certificateChain[0])) {
      this.#setEndpoints(stored);
      return false;
    }
    this.#hold(stored);
    onState?.({ state: 'renewed', how: 'renewal', enrollment: stored });
    return true;
  }

  /** Renews when due, spreads retries over the remaining life, and ends the connection after a renewal. */
  watchRenewal(node: Client<typeof NodeService>, end: () => void): Renewal {
    const { device, onState } = this.#options;
    const renewal: Renewal = {
      done: false,
      look: () => void tick(),
      stop: () => clearInterval(timer),
    };
    let running = false;
    const tick = async () => {
      if (running || !this.#schedule.isDue(this.#now())) return;
      running = true;
      try {
        await this.#exclusively(async () => {
          // Another process may just have renewed it.
          if (await this.adoptStored()) return;
          this.#hold(await renewCertificate(device, this.#enrollment, (proof) => node.renew(proof)));
          onState?.({ state: 'renewed', how: 'renewal', enrollment: this.#enrollment });
        });
        renewal.done = true;
        renewal.stop();
        end();
      } catch (cause) {
        const error = fromConnectError(cause);
        const retryInMs = this.#schedule.failed(this.#now(), askedMs(error), Math.random());
        onState?.({ state: 'renewal_failed', error, retryInMs });
      }
      running = false;
    };
    const timer = setInterval(() => void tick(), renewalTickMs);
    void tick();
    return renewal;
  }

  /** Takes the daemon's plan for the present certificate, which may have moved while this device was away. */
  takePlan(renewAfterMs: number): void {
    this.#schedule.plannedIn(this.#now(), renewAfterMs);
  }

  /** The operator wants a new certificate. */
  askedToRenew({ serial, renewAfterMs }: { readonly serial: string; readonly renewAfterMs: number }): void {
    if (serialOf(this.#enrollment) === serial) this.#schedule.askedIn(this.#now(), renewAfterMs);
  }

  /** The wait that the daemon asked for, limited by the remaining life. */
  wait(error: IdentityError): number | undefined {
    const ms = askedMs(error);
    return ms === undefined ? undefined : Math.min(ms, this.#schedule.longestWaitMs(this.#now()));
  }

  async takeEndpoints(lists: EndpointLists | undefined): Promise<void> {
    this.#setEndpoints(await storeToldEndpoints(this.#options.device.secrets, this.#enrollment, lists));
  }

  /** Takes only the endpoints of a record, because a new certificate may have arrived during its read or write. */
  #setEndpoints({ told, byHand }: KnownEndpoints): void {
    const { told: _, byHand: __, ...rest } = this.#enrollment;
    this.#enrollment = { ...rest, ...(told && { told }), ...(byHand && { byHand }) };
  }

  #hold(enrollment: PairedEnrollment): void {
    this.#enrollment = enrollment;
    this.#schedule = this.#scheduleOf(enrollment);
  }

  #scheduleOf(enrollment: PairedEnrollment): RenewalSchedule {
    return new RenewalSchedule(enrollment, this.#now(), Math.random());
  }

  #exclusively(work: () => Promise<void>): Promise<void> {
    const { exclusively } = this.#options;
    return exclusively ? exclusively(work) : work();
  }

  #now(): Instant {
    return { wallMs: this.#options.device.clock.now().getTime(), monotonicMs: performance.now() };
  }
}

const isSame = (one: Uint8Array = new Uint8Array(), other: Uint8Array = new Uint8Array()): boolean =>
  sameBytes(one, other);
