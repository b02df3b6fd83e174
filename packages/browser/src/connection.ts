// A paired device's connection to its daemon. It reconnects when a call needs it, and renews its certificate.

import { createClient, type Transport } from '@connectrpc/connect';
import type { DeviceChannel } from '@palyra/channel';
import {
  afterRefusal,
  type DeviceCrypto,
  type DeviceIdentity,
  loadEnrollments,
  type PairedEnrollment,
  RenewalSchedule,
  recoverCertificate,
  renewCertificate,
  type SecretStore,
  sameBytes,
  type systemClock,
} from '@palyra/identity/device-portable';
import { IdentityError } from '@palyra/identity/portable';
import {
  createCallTransport,
  fromConnectError,
  NodeService,
  printableAnswers,
  recoveryPeer,
} from '@palyra/rpc/portable';
import { exclusively } from './lock.ts';
import { connectionOn, reachNode, reachRecovery } from './reach.ts';

/** Events of a connection. */
export type ConnectionState =
  | { readonly state: 'connected' }
  | { readonly state: 'renewed' }
  /** The renewal will be retried. */
  | { readonly state: 'renewal_failed'; readonly error: IdentityError }
  /** `error` is the daemon's reason. After UNREACHABLE, the next call reconnects. */
  | { readonly state: 'disconnected'; readonly error: IdentityError | undefined };

interface Parts {
  readonly identity: DeviceIdentity;
  readonly secrets: SecretStore;
  readonly crypto: DeviceCrypto;
  readonly clock: typeof systemClock;
}

const renewalTickMs = 1_000;
/** Time for running calls on the connection with the replaced certificate, ms. */
const oldChannelMs = 10_000;

export class DaemonConnection {
  /** For the generated clients: `createClient(Service, connection.transport)`. */
  readonly transport: Transport;
  readonly #parts: Parts;
  readonly #onState: ((state: ConnectionState) => void) | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  #enrollment: PairedEnrollment;
  #schedule: RenewalSchedule;
  #calls: Transport;
  #channel: DeviceChannel | undefined;
  #isRenewing = false;
  #isClosed = false;

  private constructor(
    parts: Parts,
    enrollment: PairedEnrollment,
    onState?: (state: ConnectionState) => void,
  ) {
    this.#parts = parts;
    this.#enrollment = enrollment;
    this.#onState = onState;
    this.#schedule = this.#scheduleOf(enrollment);
    this.#calls = this.#newCalls();
    this.transport = {
      unary: (...call) => this.#calls.unary(...call),
      stream: (...call) => this.#calls.stream(...call),
    };
    this.#timer = setInterval(() => void this.#tick(), renewalTickMs);
  }

  /** @internal */
  static async open(
    parts: Parts,
    enrollment: PairedEnrollment,
    onState?: (state: ConnectionState) => void,
  ): Promise<DaemonConnection> {
    const connection = new DaemonConnection(parts, enrollment, onState);
    try {
      await connection.#begin();
      return connection;
    } catch (error) {
      connection.close();
      throw fromConnectError(error);
    }
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#channel?.close();
  }

  /** The first call shows whether the daemon accepts the certificate. It leaves the capabilities that `serveDaemon` registers. */
  async #begin(): Promise<void> {
    const ask = () => createClient(NodeService, this.transport).status({});
    try {
      await ask();
    } catch (cause) {
      const error = fromConnectError(cause);
      if (afterRefusal(error.code) !== 'recover') throw error;
      await this.#recover();
      await ask();
    }
  }

  async #recover(): Promise<void> {
    const connection = connectionOn(await reachRecovery(this.#parts.crypto, this.#enrollment));
    try {
      const peer = recoveryPeer(connection);
      await this.#exclusively(async () => {
        if (await this.#adoptStored()) return;
        this.#hold(await recoverCertificate(this.#parts, this.#enrollment, peer));
      });
      this.#onState?.({ state: 'renewed' });
    } finally {
      connection.close();
    }
  }

  async #tick(): Promise<void> {
    if (this.#isRenewing || !this.#schedule.isDue(this.#now())) return;
    this.#isRenewing = true;
    const node = createClient(NodeService, this.transport);
    try {
      await this.#exclusively(async () => {
        if (await this.#adoptStored()) return;
        this.#hold(await renewCertificate(this.#parts, this.#enrollment, (proof) => node.renew(proof)));
      });
      if (this.#isClosed) return;
      await this.#begin();
      this.#onState?.({ state: 'renewed' });
    } catch (cause) {
      const error = fromConnectError(cause);
      this.#schedule.failed(this.#now(), error.retryAfterMs, Math.random());
      if (!this.#isClosed) this.#onState?.({ state: 'renewal_failed', error });
    } finally {
      this.#isRenewing = false;
    }
  }

  /** @returns whether this connection uses another certificate from now on. */
  async #adoptStored(): Promise<boolean> {
    const stored = await this.#storedByOthers();
    if (stored) this.#hold(stored);
    return stored !== undefined;
  }

  /** Another page of this origin may have renewed the certificate. */
  async #storedByOthers(): Promise<PairedEnrollment | undefined> {
    const { root, certificateChain } = this.#enrollment;
    const records = await loadEnrollments(this.#parts.secrets);
    const stored = records.find((each) => each.state === 'paired' && each.root === root);
    if (stored?.state !== 'paired')
      throw new IdentityError('NOT_PAIRED', 'This device has forgotten the daemon.');
    return sameBytes(stored.certificateChain[0]!, certificateChain[0]!) ? undefined : stored;
  }

  /** From now on calls use a connection with this certificate. */
  #hold(enrollment: PairedEnrollment): void {
    this.#know(enrollment);
    this.#calls = this.#newCalls();
    const old = this.#channel;
    this.#channel = undefined;
    if (old) setTimeout(() => old.close(), oldChannelMs);
  }

  #know(enrollment: PairedEnrollment): void {
    this.#enrollment = enrollment;
    this.#schedule = this.#scheduleOf(enrollment);
  }

  #newCalls(): Transport {
    return createCallTransport({ connect: () => this.#connect(), interceptors: [printableAnswers] });
  }

  async #connect(): Promise<DeviceChannel> {
    if (this.#isClosed) throw new IdentityError('UNREACHABLE', 'The connection was closed by this page.');
    // The use of a replaced certificate would look like a copy of this device.
    const stored = await this.#storedByOthers();
    if (stored) this.#know(stored);
    const channel = await reachNode(this.#parts.crypto, this.#enrollment);
    this.#channel = channel;
    if (this.#isClosed) channel.close();
    else this.#onState?.({ state: 'connected' });
    void channel.closed.then((error) => {
      if (this.#channel !== channel) return;
      this.#channel = undefined;
      if (!this.#isClosed) this.#onState?.({ state: 'disconnected', error });
    });
    return channel;
  }

  /** Of two new certificates, the one used first would end the other. */
  #exclusively(work: () => Promise<void>): Promise<void> {
    return exclusively(`certificate ${this.#enrollment.root}`, work);
  }

  #scheduleOf(enrollment: PairedEnrollment): RenewalSchedule {
    return new RenewalSchedule(enrollment, this.#now(), Math.random());
  }

  #now() {
    return { wallMs: this.#parts.clock.now().getTime(), monotonicMs: performance.now() };
  }
}
