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
  webEndpoints,
} from '@palyra/identity/device-portable';
import { hasCode, IdentityError } from '@palyra/identity/portable';
import {
  createCallTransport,
  type DaemonEvent,
  fromConnectError,
  NodeService,
  printableAnswers,
  recoveryPeer,
} from '@palyra/rpc/portable';
import { dial } from './dial.ts';
import { oneAtATime } from './lock.ts';

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
  readonly #agentId: Uint8Array;
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
    this.#agentId = parts.crypto.randomBytes(16);
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

  /** The daemon's messages to this device, from now on until the connection ends. A device has one such stream at a time. */
  async *events(signal?: AbortSignal): AsyncGenerator<DaemonEvent> {
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const agentId = this.#agentId;
    async function* said() {
      yield { event: { case: 'hello' as const, value: { agentId, lastSeq: 0n, quicProblem: '' } } };
      await over;
    }
    try {
      yield* createClient(NodeService, this.transport).events(said(), signal ? { signal } : {});
    } catch (error) {
      throw fromConnectError(error);
    } finally {
      end();
    }
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#channel?.close();
  }

  /** The first call shows whether the daemon accepts the certificate. */
  async #begin(): Promise<void> {
    const register = () =>
      createClient(NodeService, this.transport).register({ platform: 'browser', capabilities: [] });
    try {
      await register();
    } catch (cause) {
      const error = fromConnectError(cause);
      if (afterRefusal(error.code) !== 'recover') throw error;
      await this.#recover();
      await register();
    }
  }

  async #recover(): Promise<void> {
    const channel = await this.#reach((url) =>
      dial({ url, purpose: 'pair', crypto: this.#parts.crypto, known: this.#enrollment }),
    );
    try {
      const transport = createCallTransport({
        connect: async () => channel,
        interceptors: [printableAnswers],
      });
      const peer = recoveryPeer({ transport, channelBinding: channel.channelBinding });
      await oneAtATime('certificate', async () => {
        if (await this.#adoptStored()) return;
        this.#hold(await recoverCertificate(this.#parts, this.#enrollment, peer));
      });
      this.#onState?.({ state: 'renewed' });
    } finally {
      channel.close();
    }
  }

  async #tick(): Promise<void> {
    if (this.#isRenewing || !this.#schedule.isDue(this.#now())) return;
    this.#isRenewing = true;
    const node = createClient(NodeService, this.transport);
    try {
      // If two pages renewed at once, the first use of one new certificate would invalidate the other.
      await oneAtATime('certificate', async () => {
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

  /** Another page of this origin may have renewed it. */
  async #adoptStored(): Promise<boolean> {
    const { root, certificateChain } = this.#enrollment;
    const records = await loadEnrollments(this.#parts.secrets);
    const stored = records.find((each) => each.state === 'paired' && each.root === root);
    if (stored?.state !== 'paired')
      throw new IdentityError('NOT_PAIRED', 'This device has forgotten the daemon.');
    if (sameBytes(stored.certificateChain[0]!, certificateChain[0]!)) return false;
    this.#hold(stored);
    return true;
  }

  /** From now on calls use a connection with this certificate. */
  #hold(enrollment: PairedEnrollment): void {
    this.#enrollment = enrollment;
    this.#schedule = this.#scheduleOf(enrollment);
    this.#calls = this.#newCalls();
    const old = this.#channel;
    this.#channel = undefined;
    if (old) setTimeout(() => old.close(), oldChannelMs);
  }

  #newCalls(): Transport {
    return createCallTransport({ connect: () => this.#connect(), interceptors: [printableAnswers] });
  }

  async #connect(): Promise<DeviceChannel> {
    if (this.#isClosed) throw new IdentityError('UNREACHABLE', 'The connection was closed by this page.');
    const enrollment = this.#enrollment;
    const key = await this.#parts.crypto.importTlsKey(enrollment.tlsKey);
    const proof = { chain: enrollment.certificateChain, sign: (data: Uint8Array) => key.sign(data) };
    const channel = await this.#reach((url) =>
      dial({ url, purpose: 'node', crypto: this.#parts.crypto, proof, known: enrollment }),
    );
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

  /** Connects to the first address that answers. */
  async #reach(dialAt: (url: string) => Promise<DeviceChannel>): Promise<DeviceChannel> {
    let last: unknown = new IdentityError('UNREACHABLE', 'No address of a channel to this daemon is known.');
    for (const url of webEndpoints(this.#enrollment)) {
      try {
        return await dialAt(url);
      } catch (error) {
        if (!hasCode(error, 'UNREACHABLE') && !hasCode(error, 'DAEMON_NOT_AUTHENTICATED')) throw error;
        last = error;
      }
    }
    throw last;
  }

  #scheduleOf(enrollment: PairedEnrollment): RenewalSchedule {
    return new RenewalSchedule(enrollment, this.#now(), Math.random());
  }

  #now() {
    return { wallMs: this.#parts.clock.now().getTime(), monotonicMs: performance.now() };
  }
}
