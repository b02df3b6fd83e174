// The standing channel to each connected device, and the calls that run over it. A call outlives the channel: the device
// reconnects and resumes, or it has restarted and the caller is told that the call is lost.
//
//   execute ─> queued in the device's outbox ─> sent ─> result ─> settled
//                 └ channel ends: stays queued, sent again on resume by the same agent
//                 └ another agent says hello, the deadline passes, the caller goes, the device is revoked: fails

import { IdentityError } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { Clock, DeviceId } from '@palyra/identity/values';
import type { DaemonEvent, DeviceEvent, Hello } from '@palyra/rpc';
import type { TransportWord } from '@palyra/rpc/admin';
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
import { Channel, type Outgoing } from './channel.ts';
import { type ChannelLimits, defaultChannelLimits } from './limits.ts';

/** What a device sends after its hello. */
export type DeviceAnswer = Exclude<DeviceEvent['event'], { case: 'hello' | undefined }>;

/** Characters of a call's id, which is a ULID. */
const maxCallId = 26;

export class DeviceChannels {
  readonly #devices = new Map<DeviceId, Device>();
  readonly #clock: Clock;
  readonly #limits: ChannelLimits;

  readonly #watchers = new Set<(id: DeviceId) => void>();
  #draining = false;

  constructor(clock: Clock, limits: Partial<ChannelLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...defaultChannelLimits, ...limits };
  }

  /** How the device is connected now: over http2 or quic, and why not over QUIC. Undefined when it is not. */
  connectionOf(
    id: DeviceId,
  ): { readonly transport: TransportWord; readonly quicProblem: string } | undefined {
    return this.#devices.get(id)?.channel;
  }

  /** How many devices are connected now. */
  get connected(): number {
    return [...this.#devices.values()].filter(({ channel }) => channel).length;
  }

  /** Told of every device that connects or is gone. Returns the function that ends it. */
  watch(listener: (id: DeviceId) => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /**
   * Serves one Events stream until the peer ends it, `signal` does, or a newer one of the same device takes over: of the same
   * agent, or of another one while the present one does not answer.
   * @param answers what the device sends after its hello.
   * @param options.onSecondAgent told when another agent comes while the present one answers.
   * @throws CHANNEL_IN_USE then: two that take the channel from each other would do so for ever; CHANNEL_REPLACED; what breaks
   *   the reading of `answers`.
   */
  async *serve(
    id: DeviceId,
    hello: Hello,
    answers: AsyncIterable<DeviceAnswer>,
    options: {
      readonly transport: TransportWord;
      readonly signal: AbortSignal;
      readonly onSecondAgent: () => Promise<void>;
      /** Told with the welcome. */
      readonly endpoints?: Extract<Outgoing, { case: 'welcome' }>['value']['endpoints'];
    },
  ): AsyncGenerator<DaemonEvent> {
    if (await this.#isHeldByAnother(id, agentOf(hello))) {
      if (options.signal.aborted) return;
      await options.onSecondAgent();
      throw inUse(id);
    }
    if (options.signal.aborted) return;
    const channel = new Channel(options.transport, shown(hello.quicProblem));
    const device = this.#connect(id, hello, channel);
    const end = () => channel.end();
    options.signal.addEventListener('abort', end);
    if (options.signal.aborted) end();
    // What breaks the reading ends the channel, and the device is told; it comes back and resumes.
    this.#take(device, channel, answers).then(end, (error) => channel.fail(error));
    try {
      const daemonTimeMs = BigInt(this.#clock.now().getTime());
      const welcome = { daemonTimeMs, ...(options.endpoints && { endpoints: options.endpoints }) };
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
      if (device.channel === channel) this.#disconnect(id, device);
    }
  }

  /**
   * Runs a capability on a connected device.
   * @throws DEVICE_NOT_CONNECTED, DEVICE_BUSY, MESSAGE_TOO_LARGE, CAPABILITY_LOST when the device's agent restarted,
   *   CAPABILITY_TIMEOUT, CAPABILITY_CANCELED, DEVICE_REVOKED, DEVICE_QUARANTINED, and what the device answers.
   */
  async execute(request: ExecuteRequest): Promise<ExecuteResult> {
    const { callsPerDevice, payloadBytes, timeoutMaxMs } = this.#limits;
    const device = this.#devices.get(request.deviceId);
    if (this.#draining || !device?.channel) throw notConnected(request.deviceId);
    if (request.input.length > payloadBytes) {
      throw new IdentityError('MESSAGE_TOO_LARGE', `The input is larger than ${payloadBytes} bytes.`);
    }
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

  /** Ends at once what a change of the registry shuts out. */
  apply(event: RegistryEvent): void {
    if (event.type === 'device_revoked') this.#drop(event.deviceId, 'DEVICE_REVOKED');
    if (event.type === 'device_quarantined') this.#drop(event.deviceId, 'DEVICE_QUARANTINED');
  }

  /** A device that is shut out owes no answers and gets no questions. */
  #drop(id: DeviceId, why: 'DEVICE_REVOKED' | 'DEVICE_QUARANTINED'): void {
    const device = this.#devices.get(id);
    if (!device) return;
    device.channel?.end();
    // Its end is not an absence: the device may be let in again meanwhile.
    device.channel = undefined;
    clearTimeout(device.absence);
    failCalls(device, why, `Device ${id} was shut out while the call ran.`);
    this.#devices.delete(id);
    this.#tell(id);
  }

  /** Takes no more calls, and ends each channel after its last one. A device that is away cannot come back. */
  drain(): void {
    this.#draining = true;
    for (const device of this.#devices.values()) {
      if (!device.channel) failCalls(device, 'CAPABILITY_LOST', 'The daemon stops.');
      endIdle(device);
    }
  }

  /** Ends every channel; calls that run are lost. */
  close(): void {
    for (const device of this.#devices.values()) {
      device.channel?.end();
      clearTimeout(device.absence);
      failCalls(device, 'CAPABILITY_LOST', 'The daemon stops.');
    }
    this.#devices.clear();
  }

  /** Whether an agent other than this one is connected, and answers. */
  async #isHeldByAnother(id: DeviceId, agentId: string): Promise<boolean> {
    for (;;) {
      const device = this.#devices.get(id);
      const channel = device?.channel;
      if (!channel || channel.ended || device.agentId === agentId) return false;
      if (await channel.answers(this.#limits.probeMs)) return true;
      // Another one may have taken over meanwhile.
      if (this.#devices.get(id)?.channel === channel) return false;
    }
  }

  #tell(id: DeviceId): void {
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
        'The agent on the device restarted while the call ran; it may have run or not.',
      );
      device.agentId = agentId;
      device.nextSeq = 1;
    }
    // A daemon that restarted starts over at 1, but this agent has seen more.
    device.nextSeq = Math.max(device.nextSeq, Number(hello.lastSeq) + 1);
    if (device.channel) device.channel.replaced = true;
    device.channel?.end();
    clearTimeout(device.absence);
    device.channel = channel;
    device.connections += 1;
    this.#tell(id);
    return device;
  }

  #disconnect(id: DeviceId, device: Device): void {
    device.channel = undefined;
    this.#tell(id);
    device.absence = setTimeout(() => {
      failCalls(device, 'CAPABILITY_LOST', 'The device lost its connection and did not come back in time.');
      this.#devices.delete(id);
    }, this.#limits.reconnectMs);
    device.absence.unref();
  }

  async #take(device: Device, channel: Channel, answers: AsyncIterable<DeviceAnswer>): Promise<void> {
    for await (const answer of answers) {
      if (channel.ended) return;
      if (answer.case === 'alive') {
        channel.alive();
        continue;
      }
      const { callId, outcome } = answer.value;
      // It is sent back, and up to `maxOwed` of them wait for a peer that does not read.
      if (callId.length > maxCallId) throw new IdentityError('MESSAGE_INVALID', 'No call has such an id.');
      device.calls.get(callId)?.settle(outcomeOf(outcome, this.#limits.payloadBytes));
      // Also for a call that nobody waits for any more: the device must not send it for ever.
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

function notConnected(id: DeviceId): IdentityError {
  return new IdentityError('DEVICE_NOT_CONNECTED', `Device ${id} is not connected.`, { deviceId: id });
}
