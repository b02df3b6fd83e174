// The standing channel to each connected device, and its calls. A call outlives the channel: the device reconnects and
// resumes, or it has restarted and the caller gets CAPABILITY_LOST.
//
//   execute ─> queued in the device's outbox ─> sent ─> result ─> settled
//                 └ channel ends: stays queued, sent again on resume by the same agent
//                 └ another agent says hello, the deadline passes, the caller goes, the device is revoked: fails

import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import { renewAfterMs } from '@palyra/identity/device';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { Clock, DeviceId } from '@palyra/identity/values';
import type { DaemonEvent, DeviceEvent, Hello } from '@palyra/rpc';
import type { TransportWord } from '@palyra/rpc/admin';
import { AwayDevices } from './away-devices.ts';
import {
  type Device,
  type ExecuteRequest,
  type ExecuteResult,
  endIdle,
  failCalls,
  outcomeOf,
  runCall,
  shown,
} from './calls.ts';
import type { CapabilityRules } from './capability-rules.ts';
import { Channel, type Outgoing } from './channel.ts';
import { type ChannelLimits, defaultChannelLimits } from './limits.ts';
import type { OtherDaemons } from './other-daemons.ts';

/** A message of a device after its hello. */
export type DeviceAnswer = Exclude<DeviceEvent['event'], { case: 'hello' | undefined }>;

/** Characters of a call's id, which is a ULID. */
const maxCallId = 26;

export class DeviceChannels {
  readonly #devices = new Map<DeviceId, Device>();
  readonly #clock: Clock;
  readonly #limits: ChannelLimits;
  readonly #rules: CapabilityRules;
  readonly #upToDate: () => Promise<void> | undefined;
  /** Undefined for a daemon that is alone. */
  readonly #others: OtherDaemons | undefined;
  /** Channels that are being claimed. */
  readonly #claiming = new Set<string>();

  readonly #away: AwayDevices | undefined;

  readonly #watchers = new Set<(id: DeviceId) => void>();
  #draining = false;

  constructor(
    clock: Clock,
    rules: CapabilityRules,
    options: Partial<ChannelLimits> & {
      /** Resolves when the revocations of all daemons have reached this one. Default: they have. */
      readonly upToDate?: () => Promise<void> | undefined;
      /** Default: this daemon is alone. */
      readonly others?: OtherDaemons | undefined;
    } = {},
  ) {
    const { upToDate = () => undefined, others, ...limits } = options;
    this.#clock = clock;
    this.#rules = rules;
    this.#upToDate = upToDate;
    this.#others = others;
    const waitsFor = (id: DeviceId) => {
      const device = this.#devices.get(id);
      return device && !device.channel && device.calls.size > 0 ? device : undefined;
    };
    this.#away = others && new AwayDevices(others, waitsFor, (id, device) => this.#endMoved(id, device));
    this.#limits = { ...defaultChannelLimits, ...limits };
  }
  /** The current connection of the device. Undefined if it is not connected. */
  connectionOf(id: DeviceId): Pick<Channel, 'transport' | 'quicProblem' | 'origin'> | undefined {
    return this.#devices.get(id)?.channel;
  }

  /** The number of connected devices. */
  get connected(): number {
    return [...this.#devices.values()].filter(({ channel }) => channel).length;
  }

  /**
   * Calls the listener for every device that connects or disconnects.
   * @returns a function that removes the listener.
   */
  watch(listener: (id: DeviceId) => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /**
   * Serves one Events stream until the peer or `signal` ends it, or a newer stream of the same device takes over. A stream of
   * the same agent always takes over. A stream of another agent takes over only if the current agent does not answer.
   * @param answers the messages of the device after its hello.
   * @param options.onSecondAgent called when another agent connects while the current one still answers.
   * @throws CHANNEL_IN_USE in this case, because two agents would take the channel from each other for ever;
   *   CHANNEL_REPLACED; errors while reading `answers`.
   */
  async *serve(
    id: DeviceId,
    hello: Hello,
    answers: AsyncIterable<DeviceAnswer>,
    options: {
      readonly transport: TransportWord;
      readonly origin?: string | undefined;
      readonly signal: AbortSignal;
      readonly onSecondAgent: () => Promise<void>;
      /** Serial of the certificate of this connection. */
      readonly serial: string;
      /** Sent with the welcome. */
      readonly endpoints?: Extract<Outgoing, { case: 'welcome' }>['value']['endpoints'];
      /** When the device shall renew the certificate. */
      readonly renewAtMs?: number | undefined;
    },
  ): AsyncGenerator<DaemonEvent> {
    if (await this.#isHeldByAnother(id, agentOf(hello))) {
      if (options.signal.aborted) return;
      await options.onSecondAgent();
      throw inUse(id);
    }
    if (options.signal.aborted) return;
    const { transport, origin, serial } = options;
    const channel = new Channel({ transport, origin, serial, quicProblem: shown(hello.quicProblem) });
    const device = await this.#claimAndConnect(id, hello, channel, options.signal);
    if (device === 'held') {
      await options.onSecondAgent();
      throw inUse(id);
    }
    if (device === 'gone') return;
    const end = () => channel.end();
    options.signal.addEventListener('abort', end);
    if (options.signal.aborted) end();
    // A read error ends the channel and is reported to the device, which reconnects and resumes.
    this.#take(device, channel, answers).then(end, (error) => channel.fail(error));
    try {
      const nowMs = this.#clock.now().getTime();
      const { endpoints, renewAtMs } = options;
      const welcome = {
        daemonTimeMs: BigInt(nowMs),
        ...(endpoints && { endpoints }),
        ...(renewAtMs !== undefined && { renewAfterMs: renewAfterMs(renewAtMs, nowMs) }),
      };
      channel.push({ case: 'welcome', value: welcome });
      let sent = Number(hello.lastSeq);
      while (!channel.ended) {
        let next = channel.shift();
        if (!next) {
          next = device.outbox.find((event) => Number(event.seq) > sent);
          if (next) sent = Number(next.seq);
        }
        if (next) yield next;
        else await channel.changed();
      }
      if (channel.replaced) throw replaced(id);
      if (channel.failure) throw channel.failure.reason;
    } finally {
      options.signal.removeEventListener('abort', end);
      end();
      this.#others?.release({ deviceId: id, claim: channel.claim });
      if (device.channel === channel) this.#disconnect(id, device);
    }
  }

  /**
   * Runs a capability on a connected device, whichever daemon of the fleet has its channel.
   * @throws as `executeHere`, and CAPABILITY_LOST also when that daemon ended during the call.
   */
  async execute(request: ExecuteRequest): Promise<ExecuteResult> {
    if (!this.#others || this.#devices.get(request.deviceId)?.channel) return this.executeHere(request);
    await this.#mustAllow(request);
    return this.#others.execute(request);
  }

  /**
   * Runs a capability on a device whose channel is at this daemon. The one place where a run is admitted.
   * @throws CAPABILITY_NOT_ALLOWED, DEVICE_NOT_CONNECTED, DEVICE_BUSY, MESSAGE_TOO_LARGE, CAPABILITY_LOST when the device's agent restarted,
   *   CAPABILITY_TIMEOUT, CAPABILITY_CANCELED, DEVICE_REVOKED, DEVICE_QUARANTINED, and the error that the device answers.
   */
  async executeHere(request: ExecuteRequest): Promise<ExecuteResult> {
    await this.#mustAllow(request);
    // Another daemon may have revoked the device.
    await this.#upToDate();
    const { callsPerDevice, timeoutMaxMs } = this.#limits;
    const device = this.#devices.get(request.deviceId);
    if (this.#draining || !device?.channel) throw notConnected(request.deviceId);
    if (device.calls.size >= callsPerDevice) {
      throw new IdentityError(
        'DEVICE_BUSY',
        `Device ${request.deviceId} has ${callsPerDevice} calls to answer. Try later.`,
      );
    }
    const started = performance.now();
    const { connections } = device;
    const output = await runCall(device, request, {
      timeoutMs: Math.min(request.timeoutMs, timeoutMaxMs),
      now: this.#clock.now(),
      onSettled: () => {
        if (this.#draining) endIdle(device);
      },
    });
    return {
      output,
      elapsedMs: Math.round(performance.now() - started),
      reconnects: device.connections - connections,
    };
  }

  async #mustAllow(request: ExecuteRequest): Promise<void> {
    await this.#rules.mustAllow(request);
    const { payloadBytes } = this.#limits;
    if (request.input.length <= payloadBytes) return;
    throw new IdentityError('MESSAGE_TOO_LARGE', `The input is larger than ${payloadBytes} bytes.`);
  }

  /**
   * Gives the device's channel up, because an agent has connected to another daemon.
   * @returns false if another agent is connected here, and answers.
   */
  async yield(id: DeviceId, agentId: string): Promise<boolean> {
    if (await this.#isHeldByAnother(id, agentId)) return false;
    const device = this.#devices.get(id);
    if (!device) return true;
    if (device.channel) device.channel.replaced = true;
    this.#endMoved(id, device);
    return true;
  }

  /**
   * Compares the channels here with those that the fleet knows of this daemon. Ends those that another daemon has taken while
   * this one could not be asked.
   * @param known claims by device.
   */
  async settle(known: ReadonlyMap<string, string>): Promise<void> {
    const others = this.#others;
    if (!others) return;
    for (const [id, claim] of known)
      if (!this.#claiming.has(claim) && this.#devices.get(id as DeviceId)?.channel?.claim !== claim)
        others.release({ deviceId: id as DeviceId, claim });
    for (const [id, { channel, agentId }] of this.#devices) {
      if (!channel || channel.ended || known.get(id) === channel.claim) continue;
      if (await others.keep({ deviceId: id, agentId, claim: channel.claim, channel })) continue;
      channel.replaced = true;
      channel.end();
    }
  }

  /** Tells every connected device of new endpoints. */
  tell(endpoints: Extract<Outgoing, { case: 'endpoints' }>['value']): void {
    for (const { channel } of this.#devices.values()) channel?.push({ case: 'endpoints', value: endpoints });
  }

  /** Ends channels and calls at once if a change of the registry revokes or quarantines their device. Passes on the wish for a renewal. */
  apply(event: RegistryEvent): void {
    if (event.type === 'device_revoked') this.#drop(event.deviceId, 'DEVICE_REVOKED');
    if (event.type === 'device_quarantined') this.#drop(event.deviceId, 'DEVICE_QUARANTINED');
    if (event.type !== 'renewal_asked') return;
    const channel = this.#devices.get(event.deviceId)?.channel;
    const { serial, renewAt } = event;
    if (channel?.serial !== serial) return;
    const after = renewAfterMs(renewAt.getTime(), this.#clock.now().getTime());
    channel.push({ case: 'renewalAsked', value: { serial, renewAfterMs: after } });
  }

  /** A refused device gets no more calls, and its open calls fail. */
  #drop(id: DeviceId, why: 'DEVICE_REVOKED' | 'DEVICE_QUARANTINED'): void {
    const device = this.#devices.get(id);
    if (device) this.#end(id, device, why, `Device ${id} was revoked or quarantined during the call.`);
  }

  #endMoved(id: DeviceId, device: Device): void {
    const message = `The device moved to another daemon during the call. ${mayHaveRun}`;
    this.#end(id, device, 'CAPABILITY_LOST', message);
  }

  /** Ends the channel, its calls, and the wait for its device. */
  #end(id: DeviceId, device: Device, why: IdentityErrorCode, message: string): void {
    device.channel?.end();
    // This end does not start the wait for a reconnection, because the device may be admitted again meanwhile.
    device.channel = undefined;
    clearTimeout(device.absence);
    failCalls(device, why, message);
    this.#devices.delete(id);
    this.#notifyWatchers(id);
  }

  /** Accepts no more calls, and ends each channel after its last one. A disconnected device cannot reconnect. */
  drain(): void {
    this.#draining = true;
    for (const device of this.#devices.values()) {
      if (!device.channel) failCalls(device, 'CAPABILITY_LOST', `The daemon stops. ${mayHaveRun}`);
      endIdle(device);
    }
  }

  /** Ends every channel. Running calls are lost. */
  close(): void {
    for (const device of this.#devices.values()) {
      device.channel?.end();
      clearTimeout(device.absence);
      failCalls(device, 'CAPABILITY_LOST', `The daemon stops. ${mayHaveRun}`);
    }
    this.#devices.clear();
  }

  /** Whether another agent is connected and answers. */
  async #isHeldByAnother(id: DeviceId, agentId: string): Promise<boolean> {
    for (;;) {
      const device = this.#devices.get(id);
      const channel = device?.channel;
      if (!channel || channel.ended || device.agentId === agentId) return false;
      if (await channel.answers(this.#limits.probeMs)) return true;
      // Another channel may have taken over meanwhile.
      if (this.#devices.get(id)?.channel === channel) return false;
    }
  }

  /** @returns `held` if another agent has the channel at another daemon, `gone` if the caller has left. */
  async #claimAndConnect(
    id: DeviceId,
    hello: Hello,
    channel: Channel,
    signal: AbortSignal,
  ): Promise<Device | 'held' | 'gone'> {
    const others = this.#others;
    if (!others) return this.#connect(id, hello, channel);
    const { claim } = channel;
    this.#claiming.add(claim);
    try {
      if (!(await others.claim({ deviceId: id, agentId: agentOf(hello), claim, channel }))) return 'held';
      if (!signal.aborted) return this.#connect(id, hello, channel);
      others.release({ deviceId: id, claim });
      return 'gone';
    } finally {
      this.#claiming.delete(claim);
    }
  }

  #notifyWatchers(id: DeviceId): void {
    for (const listener of this.#watchers) listener(id);
  }

  #connect(id: DeviceId, hello: Hello, channel: Channel): Device {
    const agentId = agentOf(hello);
    let device = this.#devices.get(id);
    if (!device) {
      device = {
        agentId,
        nextSeq: 1,
        outbox: [],
        calls: new Map(),
        connections: 0,
        channel: undefined,
        absence: undefined,
      };
      this.#devices.set(id, device);
    }
    if (device.agentId !== agentId) {
      failCalls(
        device,
        'CAPABILITY_LOST',
        `The agent on the device restarted during the call. ${mayHaveRun}`,
      );
      device.agentId = agentId;
      device.nextSeq = 1;
    } else if (Number(hello.lastSeq) >= device.nextSeq) {
      // Its numbers no longer say what this daemon has sent.
      const message = `The device was at another daemon during the call. ${mayHaveRun}`;
      failCalls(device, 'CAPABILITY_LOST', message);
    }
    // A restarted daemon would start at 1, but this agent has seen higher numbers.
    device.nextSeq = Math.max(device.nextSeq, Number(hello.lastSeq) + 1);
    if (device.channel) device.channel.replaced = true;
    device.channel?.end();
    clearTimeout(device.absence);
    device.channel = channel;
    device.connections += 1;
    this.#notifyWatchers(id);
    return device;
  }

  #disconnect(id: DeviceId, device: Device): void {
    device.channel = undefined;
    this.#notifyWatchers(id);
    device.absence = setTimeout(() => {
      const message = `The device lost its connection and did not come back in time. ${mayHaveRun}`;
      failCalls(device, 'CAPABILITY_LOST', message);
      this.#devices.delete(id);
    }, this.#limits.reconnectMs);
    device.absence.unref();
    if (device.calls.size > 0) this.#away?.add(id);
  }

  async #take(device: Device, channel: Channel, answers: AsyncIterable<DeviceAnswer>): Promise<void> {
    for await (const answer of answers) {
      if (channel.ended) return;
      if (answer.case === 'alive') {
        channel.alive();
        continue;
      }
      const { callId, outcome } = answer.value;
      // The id is sent back, and up to `maxOwed` of these events wait for a peer that does not read.
      if (callId.length > maxCallId) throw new IdentityError('MESSAGE_INVALID', 'No call has this id.');
      device.calls.get(callId)?.settle(outcomeOf(outcome, this.#limits.payloadBytes));
      // Acknowledged even if nobody waits for the call any more, so that the device does not send it for ever.
      channel.push({ case: 'settled', value: { callId } });
    }
  }
}

const agentOf = ({ agentId }: Hello): string => Buffer.from(agentId).toString('hex');

function inUse(id: DeviceId): IdentityError {
  return new IdentityError(
    'CHANNEL_IN_USE',
    `Another agent is connected as device ${id}, and answers. Only one can run at a time.`,
    { deviceId: id },
  );
}

function replaced(id: DeviceId): IdentityError {
  return new IdentityError(
    'CHANNEL_REPLACED',
    `Another agent connected as device ${id}. Only one can run at a time.`,
    { deviceId: id },
  );
}

/** Why a lost call is not simply repeated. */
export const mayHaveRun = 'The capability may or may not have run.';

export function notConnected(id: DeviceId): IdentityError {
  return new IdentityError('DEVICE_NOT_CONNECTED', `Device ${id} is not connected.`, { deviceId: id });
}
