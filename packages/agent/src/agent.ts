// The device's agent: keeps the standing channel to the daemon, comes back after every interruption, and runs what the
// daemon asks for. It ends only when it is told to, or when the daemon says that coming back cannot help.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import type { IdentityErrorCode } from '@palyra/identity';
import {
  IdentityError,
  isOfSameDaemon,
  type KnownEndpoints,
  loadEnrollments,
  type PairedEnrollment,
  type RenewingDevice,
  recoverCertificate,
  renewCertificate,
  storeToldEndpoints,
} from '@palyra/identity/device';
import type { EndpointLists } from '@palyra/identity/values';
import {
  type DaemonEvent,
  type DeviceEvent,
  DeviceEventSchema,
  fromConnectError,
  type Http2Connection,
  type NodeConnection,
  NodeService,
  recoveryPeer,
} from '@palyra/rpc';
import { type Capabilities, runCapability } from './capability.ts';
import { MessageQueue } from './message-queue.ts';
import { type Instant, RenewalSchedule } from './renewal-schedule.ts';

export type AgentState =
  | { readonly state: 'connecting' }
  | { readonly state: 'connected'; readonly transport: 'http2' | 'quic'; readonly quicProblem?: string }
  /** A new certificate is stored; `how` it was obtained. */
  | { readonly state: 'renewed'; readonly how: 'renewal' | 'recovery'; readonly enrollment: PairedEnrollment }
  /** The present certificate still holds; another try follows. */
  | { readonly state: 'renewal_failed'; readonly error: IdentityError; readonly retryInMs: number }
  /** It comes back by itself. */
  | { readonly state: 'disconnected'; readonly error: IdentityError; readonly retryInMs: number };

export interface AgentOptions {
  /** The identity that connects, with the store of its keys. */
  readonly device: RenewingDevice;
  /** The daemon it is paired with. */
  readonly enrollment: PairedEnrollment;
  /** A fresh connection to the node listener. */
  readonly dial: (enrollment: PairedEnrollment) => Promise<NodeConnection>;
  /** A fresh connection to the pairing listener of the known daemon, for a recovery. */
  readonly dialRecovery: (enrollment: PairedEnrollment) => Promise<Http2Connection>;
  /** What the operator may run here. None: an empty map. */
  readonly capabilities: Capabilities;
  /** Shown to the operator. */
  readonly platform: string;
  /** Ends the agent. */
  readonly signal: AbortSignal;
  /** Called with each change of state. Default: nobody is told. */
  readonly onState?: (state: AgentState) => void;
  /** Told of each call, for a log: name and outcome, never contents. */
  readonly onCall?: (capability: string, outcome: 'ok' | IdentityErrorCode) => void;
  /** First wait after a lost connection, ms; doubled up to 60 times this, each with jitter. Default 500. */
  readonly retryMs?: number;
}

/** The certificate no longer holds, but the device may: its identity key can get it a new one. */
const recoverable: ReadonlySet<IdentityErrorCode> = new Set([
  // The operator ended the certificate, not the device: whether it comes back is asked of him.
  'CERTIFICATE_REVOKED',
  'CERTIFICATE_SUPERSEDED',
  'AUTHORITY_RETIRED',
  'CERTIFICATE_UNKNOWN',
  'CERTIFICATE_EXPIRED',
  // The daemon's clock was ahead when it was issued, or is behind now: either way one that holds by its clock is to be had.
  'CERTIFICATE_NOT_YET_VALID',
]);

/** The daemon has decided; asking again changes nothing. */
const final: ReadonlySet<IdentityErrorCode> = new Set([
  'DEVICE_REVOKED',
  'DEVICE_NOT_FOUND',
  'PROOF_WRONG',
  'CALLER_NOT_ALLOWED',
  // Two agents that take the channel from each other would do so for ever.
  'CHANNEL_REPLACED',
  'CHANNEL_IN_USE',
]);

/** What an agent does when the daemon has answered with this code. */
export function afterRefusal(code: IdentityErrorCode): 'recover' | 'end' | 'retry' {
  if (recoverable.has(code)) return 'recover';
  return final.has(code) ? 'end' : 'retry';
}

const maxDoublings = 6;
/** How often the clock is compared with the renewal's time, ms: by the wall clock, so that a sleep is noticed. */
const renewalTickMs = 5_000;
/** A recovered certificate that is refused within this time did not help, ms. */
const recoveryHoldsMs = 10 * 60_000;

/**
 * Runs until `signal` ends it.
 * @throws the daemon's final answer: DEVICE_REVOKED, DEVICE_NOT_FOUND, PROOF_WRONG, CALLER_NOT_ALLOWED, CHANNEL_REPLACED,
 *   CHANNEL_IN_USE.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const agent = new Agent(options);
  try {
    await serveUntilEnd(agent, options);
  } finally {
    await agent.stop();
  }
}

async function serveUntilEnd(agent: Agent, options: AgentOptions): Promise<void> {
  const { signal, onState = () => {} } = options;
  let recovered = Number.NEGATIVE_INFINITY;
  /** Recoveries in a row that did not help. */
  let lost = 0;
  let hasPaused = false;
  for (let failures = 0; !signal.aborted; ) {
    onState({ state: 'connecting' });
    let connected = false;
    try {
      await agent.serve(() => {
        connected = true;
      });
      throw new IdentityError('UNREACHABLE', 'The daemon ended the connection.');
    } catch (cause) {
      if (signal.aborted) break;
      let error = fromConnectError(cause);
      if (final.has(error.code)) throw error;
      if (error === renewed) continue;
      if (recoverable.has(error.code)) {
        // What `palyra renew` beside this agent does to its certificate is no sign of a copy.
        if (await agent.adoptStored().catch(() => false)) continue;
        const isByOperator = error.code === 'CERTIFICATE_REVOKED';
        if (!isByOperator && !hasPaused && performance.now() - recovered < recoveryHoldsMs) {
          // Somebody else may do the same: without a pause the two would recover against each other for ever.
          lost += 1;
          hasPaused = true;
          const pauseMs = (options.retryMs ?? 500) * 2 ** (maxDoublings + lost);
          const retryInMs = jitter(Math.min(pauseMs, maxRetryAfterMs));
          onState({ state: 'disconnected', error: didNotHold(error, options.device.identity.id), retryInMs });
          await pause(retryInMs, signal);
          continue;
        }
        if (!hasPaused) lost = 0;
        const problem = await agent.recover();
        if (signal.aborted) break;
        if (!problem) {
          recovered = performance.now();
          hasPaused = false;
          continue;
        }
        if (final.has(problem.code)) throw problem;
        error = problem;
      }
      failures = connected ? 0 : Math.min(failures + 1, maxDoublings);
      const retryInMs = agent.wait(error) ?? jitter((options.retryMs ?? 500) * 2 ** failures);
      onState({ state: 'disconnected', error, retryInMs });
      await pause(retryInMs, signal);
    }
  }
}

const maxRetryAfterMs = 60 * 60_000;
/** How long what runs may take to end with the agent, ms: programs are killed before that. */
const stopMs = 3_000;
/** Capabilities that work, and answers that the daemon has not taken. */
const maxCalls = 1024;
const tooManyCalls = new IdentityError(
  'TOO_MANY_REQUESTS',
  `The daemon asked for more than ${maxCalls} calls before it took their answers.`,
);

/** What the daemon asked for, within reason: a number of its own must not silence a device for days. */
const askedMs = ({ retryAfterMs }: IdentityError): number | undefined =>
  retryAfterMs === undefined ? undefined : Math.min(retryAfterMs, maxRetryAfterMs);

function didNotHold({ code, message }: IdentityError, id: string): IdentityError {
  return new IdentityError(
    code,
    `${message} It had just been recovered, so another machine may have the keys of this device. The operator sees more: palyra why ${id}. If it was copied: palyra devices revoke ${id}, and here palyra pair ADDRESS --new-identity`,
  );
}

type Result = Extract<MessageInitShape<typeof DeviceEventSchema>['event'], { case: 'result' }>;

/** How `serve` ends after a renewal: at once again, with the new certificate. */
const renewed = new IdentityError('UNREACHABLE', 'The certificate was renewed.');

class Agent {
  readonly #options: AgentOptions;
  #enrollment: PairedEnrollment;
  #schedule: RenewalSchedule;
  readonly #id = new Uint8Array(randomBytes(16));
  #lastSeq = 0n;
  readonly #running = new Map<string, AbortController>();
  /** Of capabilities, also of calls that are over. */
  readonly #working = new Set<Promise<unknown>>();
  /** Answers that the daemon has not taken yet. */
  readonly #unsettled = new Map<string, Result>();
  #outgoing = new MessageQueue<DeviceEvent>();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#enrollment = options.enrollment;
    this.#schedule = this.#scheduleOf(options.enrollment);
  }

  /** One connection, from dialling to its end. */
  async serve(onConnected: () => void): Promise<void> {
    const { dial, capabilities, platform, signal, onState } = this.#options;
    // The one it replaced would look like a copy of this device.
    await this.adoptStored();
    const connection = await dialled(signal, dial(this.#enrollment));
    const ended = new AbortController();
    const end = () => ended.abort();
    const over = AbortSignal.any([signal, ended.signal]);
    let renewal: Renewal | undefined;
    try {
      const node = createClient(NodeService, connection.transport);
      renewal = this.#watchRenewal(node, end);
      await node.register({ platform, capabilities: [...capabilities.keys()] }, { signal: over });
      const outgoing = new MessageQueue<DeviceEvent>();
      this.#outgoing = outgoing;
      outgoing.push(
        deviceEvent({
          case: 'hello',
          value: { agentId: this.#id, lastSeq: this.#lastSeq, quicProblem: connection.quicProblem ?? '' },
        }),
      );
      for (const result of this.#unsettled.values()) outgoing.push(deviceEvent(result));
      for await (const { seq, event } of node.events(outgoing, { signal: over })) {
        if (event.case === 'welcome') {
          onConnected();
          onState?.({
            state: 'connected',
            transport: connection.name,
            ...(connection.quicProblem && { quicProblem: connection.quicProblem }),
          });
          // Where to look next time; what cannot be kept now is told again.
          await this.#takeEndpoints(event.value.endpoints).catch(() => {});
        } else this.#take(event);
        if (seq > this.#lastSeq) this.#lastSeq = seq;
      }
      if (renewal.done) throw renewed;
    } catch (error) {
      throw renewal?.done ? renewed : error;
    } finally {
      renewal?.stop();
      this.#outgoing.end();
      connection.close();
    }
  }

  /** Gets a new certificate by the identity key. @returns why it could not. */
  async recover(): Promise<IdentityError | undefined> {
    const { device, dialRecovery, signal, onState } = this.#options;
    let connection: Http2Connection | undefined;
    const cut = () => connection?.destroy();
    try {
      connection = await dialled(signal, dialRecovery(this.#enrollment));
      signal.addEventListener('abort', cut);
      this.#hold(await recoverCertificate(device, this.#enrollment, recoveryPeer(connection)));
      onState?.({ state: 'renewed', how: 'recovery', enrollment: this.#enrollment });
      return undefined;
    } catch (error) {
      return fromConnectError(error);
    } finally {
      signal.removeEventListener('abort', cut);
      connection?.close();
    }
  }

  /**
   * Something else on this machine may have renewed it: `palyra renew`; or set its daemon's endpoints.
   * @returns whether it has another certificate.
   */
  async adoptStored(): Promise<boolean> {
    const { device, onState } = this.#options;
    const known = this.#enrollment;
    const records = (await loadEnrollments(device.secrets)).filter((each) => each.state === 'paired');
    // Another daemon that claims the same id has a record of its own, which is not for this agent.
    const stored =
      records.find((each) => each.root === known.root) ?? records.find((each) => isOfSameDaemon(known, each));
    if (!stored) return false;
    // Not by its time: the clock may have been set back since.
    if (isSame(stored.certificateChain[0], known.certificateChain[0])) {
      this.#know(stored);
      return false;
    }
    this.#hold(stored);
    onState?.({ state: 'renewed', how: 'renewal', enrollment: stored });
    return true;
  }

  /** Renews when it is time, spreads retries over what is left, and ends the connection once it has. */
  #watchRenewal(node: Client<typeof NodeService>, end: () => void): Renewal {
    const { device, onState } = this.#options;
    const renewal: Renewal = { done: false, stop: () => clearInterval(timer) };
    let running = false;
    const tick = async () => {
      if (running || !this.#schedule.isDue(this.#now())) return;
      running = true;
      try {
        // `palyra renew` may just have done it: of two new certificates, the one used first would end the other.
        if (!(await this.adoptStored())) {
          this.#hold(await renewCertificate(device, this.#enrollment, (proof) => node.renew(proof)));
          onState?.({ state: 'renewed', how: 'renewal', enrollment: this.#enrollment });
        }
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

  /** How long the daemon asked to be left alone, and there is time for. */
  wait(error: IdentityError): number | undefined {
    const ms = askedMs(error);
    return ms === undefined ? undefined : Math.min(ms, this.#schedule.longestWaitMs(this.#now()));
  }

  async #takeEndpoints(lists: EndpointLists | undefined): Promise<void> {
    this.#know(await storeToldEndpoints(this.#options.device.secrets, this.#enrollment, lists));
  }

  /** The endpoints of a record and no more of it: a new certificate may have come while it was read or written. */
  #know({ told, byHand }: KnownEndpoints): void {
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

  #now(): Instant {
    return { wallMs: this.#options.device.clock.now().getTime(), monotonicMs: performance.now() };
  }

  /** Ends what runs for the daemon, and waits until it has. */
  async stop(): Promise<void> {
    for (const controller of this.#running.values()) controller.abort();
    await Promise.race([Promise.allSettled(this.#working), sleep(stopMs, undefined, { ref: false })]);
  }

  #take(event: DaemonEvent['event']): void {
    switch (event.case) {
      case 'execute':
        // Sent again after a reconnect, though it runs or has run here.
        if (this.#running.has(event.value.callId) || this.#unsettled.has(event.value.callId)) return;
        // By the work: it may go on after its call has timed out, and been settled.
        if (this.#working.size + this.#unsettled.size >= maxCalls) throw tooManyCalls;
        void this.#execute(event.value);
        return;
      case 'cancel':
        this.#running.get(event.value.callId)?.abort();
        return;
      case 'settled':
        this.#unsettled.delete(event.value.callId);
        return;
      case 'probe':
        // A daemon that asks and never reads does not fill the memory.
        if (this.#outgoing.size <= maxCalls) this.#outgoing.push(deviceEvent({ case: 'alive', value: {} }));
        return;
    }
  }

  async #execute(call: {
    callId: string;
    capability: string;
    input: Uint8Array;
    timeoutMs: number;
  }): Promise<void> {
    const { callId, capability } = call;
    const controller = new AbortController();
    this.#running.set(callId, controller);
    let result: Result;
    let outcome: 'ok' | IdentityErrorCode = 'ok';
    try {
      const output = await runCapability(
        this.#options.capabilities,
        capability,
        call.input,
        call.timeoutMs,
        controller.signal,
        this.#working,
      );
      result = { case: 'result', value: { callId, outcome: { case: 'output', value: output } } };
    } catch (error) {
      const { code, message } = error as IdentityError;
      result = { case: 'result', value: { callId, outcome: { case: 'error', value: { code, message } } } };
      outcome = code;
    }
    this.#running.delete(callId);
    this.#unsettled.set(callId, result);
    this.#outgoing.push(deviceEvent(result));
    this.#options.onCall?.(capability, outcome);
  }
}

function deviceEvent(event: NonNullable<MessageInitShape<typeof DeviceEventSchema>['event']>): DeviceEvent {
  return create(DeviceEventSchema, { event });
}

interface Renewal {
  done: boolean;
  readonly stop: () => void;
}

const isSame = (one: Uint8Array = new Uint8Array(), other: Uint8Array = new Uint8Array()): boolean =>
  Buffer.from(one).equals(other);

/** Half to all of it, so that a fleet does not come back at once. */
const jitter = (ms: number): number => Math.round(ms * (0.5 + Math.random() / 2));

/** A connection that comes after the signal is closed. @throws the signal's reason, as soon as there is one. */
async function dialled<C extends { close(): void }>(signal: AbortSignal, dialling: Promise<C>): Promise<C> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([dialling, promise]);
  } catch (error) {
    dialling.then(
      (late) => late.close(),
      () => {},
    );
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
