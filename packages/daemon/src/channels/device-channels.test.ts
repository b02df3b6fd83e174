import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { hasCode, type IdentityError } from '@palyra/identity';
import { type DeviceId, systemClock } from '@palyra/identity/values';
import { type DaemonEvent, DeviceEventSchema, type Hello } from '@palyra/rpc';
import { CapabilityRules } from './capability-rules.ts';
import { type DeviceAnswer, DeviceChannels } from './device-channels.ts';

const id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' as DeviceId;
const everyRun = new CapabilityRules([], { device: async () => undefined });
const helloOf = (agent: number) =>
  ({ agentId: new Uint8Array(16).fill(agent), lastSeq: 0n, quicProblem: '' }) as Hello;

/** A connected agent. It receives probes, and answers them as the test decides. */
class Agent {
  readonly ended: Promise<unknown>;
  readonly probed: Promise<void>;
  readonly #stop = new AbortController();
  readonly #answers: DeviceAnswer[] = [];
  #wake = () => {};

  /** Resolves when the agent is connected. Rejects with the daemon's reason to refuse it. */
  static async connect(channels: DeviceChannels, agent: number, options: AgentOptions = {}): Promise<Agent> {
    const signal = options.signal ?? new AbortController().signal;
    const connected = new Agent();
    const events = channels.serve(id, helloOf(agent), connected.#answering(), {
      transport: 'quic',
      serial: 's',
      signal: AbortSignal.any([signal, connected.#stop.signal]),
      onSecondAgent: async () => options.onSecondAgent?.(),
    });
    const first = await events.next();
    if (first.done) throw new Error('it ended before it was connected');
    assert.equal(first.value.event.case, 'welcome');
    connected.#read(events, options.answers ?? true);
    return connected;
  }

  private constructor() {
    ({ promise: this.ended, resolve: this.#end } = Promise.withResolvers<unknown>());
    ({ promise: this.probed, resolve: this.#wasProbed } = Promise.withResolvers<void>());
  }

  readonly #end: (reason: unknown) => void;
  readonly #wasProbed: () => void;

  stop(): void {
    this.#stop.abort();
  }

  answer(): void {
    const { event } = create(DeviceEventSchema, { event: { case: 'alive', value: {} } });
    this.#answers.push(event as DeviceAnswer);
    this.#wake();
  }

  async #read(events: AsyncGenerator<DaemonEvent>, answers: boolean): Promise<void> {
    try {
      for await (const { event } of events) {
        if (event.case !== 'probe') continue;
        this.#wasProbed();
        if (answers) this.answer();
      }
      this.#end('done');
    } catch (error) {
      this.#end((error as IdentityError).code);
    }
  }

  async *#answering(): AsyncGenerator<DeviceAnswer> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer) yield answer;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

interface AgentOptions {
  readonly answers?: boolean;
  readonly signal?: AbortSignal;
  readonly onSecondAgent?: () => void;
}

const isInUse = (error: unknown) => hasCode(error, 'CHANNEL_IN_USE');

test('while the connected agent answers, further agents are refused and reported, and the connected agent stays', async () => {
  const channels = new DeviceChannels(systemClock, everyRun);
  let told = 0;
  const onSecondAgent = () => {
    told += 1;
  };
  const first = await Agent.connect(channels, 1);
  for (let count = 2; count < 14; count += 1)
    await assert.rejects(Agent.connect(channels, count, { onSecondAgent }), isInUse);
  // Two agents that connect at once share one probe.
  const both = [20, 21].map((agent) =>
    assert.rejects(Agent.connect(channels, agent, { onSecondAgent }), isInUse),
  );
  await Promise.all(both);
  assert.equal(told, 14);
  assert.equal(channels.connected, 1);
  first.stop();
  assert.equal(await first.ended, 'done');
  const next = await Agent.connect(channels, 2, { onSecondAgent });
  assert.equal(told, 14, 'nobody was there any more');
  next.stop();
});

test('an agent that does not answer is replaced by another one, without a report', async () => {
  const channels = new DeviceChannels(systemClock, everyRun, { probeMs: 20 });
  const onSecondAgent = () => assert.fail('there is only one');
  const first = await Agent.connect(channels, 1, { answers: false });
  const second = await Agent.connect(channels, 2, { onSecondAgent });
  assert.equal(await first.ended, 'CHANNEL_REPLACED');
  assert.equal(channels.connected, 1);
  second.stop();
});

test('an agent whose connection ends during the probe is replaced at once', async () => {
  const channels = new DeviceChannels(systemClock, everyRun, { probeMs: 60_000 });
  const first = await Agent.connect(channels, 1, { answers: false });
  const second = Agent.connect(channels, 2);
  await first.probed;
  first.stop();
  (await second).stop();
});

test('an agent takes over from its own older connection without a probe', async () => {
  const channels = new DeviceChannels(systemClock, everyRun, { probeMs: 60_000 });
  const first = await Agent.connect(channels, 1, { answers: false });
  const again = await Agent.connect(channels, 1);
  assert.equal(await first.ended, 'CHANNEL_REPLACED');
  again.stop();
});

test('an agent that disconnects during the probe does not take over', async () => {
  const channels = new DeviceChannels(systemClock, everyRun, { probeMs: 20 });
  const gone = new AbortController();
  const first = await Agent.connect(channels, 1, { answers: false });
  const second = assert.rejects(
    Agent.connect(channels, 2, { signal: gone.signal }),
    /before it was connected/,
  );
  await first.probed;
  gone.abort();
  await second;
  assert.equal(channels.connected, 1);
  first.stop();
  assert.equal(await first.ended, 'done');
});

test('a device that was quarantined and released stays connected', async () => {
  const reconnectMs = 20;
  const channels = new DeviceChannels(systemClock, everyRun, { reconnectMs });
  const first = await Agent.connect(channels, 1);
  channels.apply({ type: 'device_quarantined', deviceId: id });
  assert.equal(await first.ended, 'done');
  assert.equal(channels.connected, 0);

  const second = await Agent.connect(channels, 1);
  // Longer than any timer left from the first connection.
  await sleep(3 * reconnectMs);
  assert.equal(channels.connected, 1);
  second.stop();
  assert.equal(await second.ended, 'done');
});
