// One daemon of this browser: waits for its operator, then stays connected to it.

import { createClient, type Transport } from '@connectrpc/connect';
import { type BrowserDevice, type KnownDaemon, NodeService } from '@palyra/browser';
import { type Capability, type ServeState, serveDaemon } from '@palyra/browser/serve';
import { type CapabilityName, capabilitiesOf } from './capabilities.ts';
import { ClipboardAsks } from './clipboard.ts';
import { problemOf } from './next-step.ts';
import { Operator } from './operator.ts';
import { readSettings, type Settings, writeSettings } from './settings.ts';
import type { DaemonView, Problem, Switch } from './view.ts';

/** The message of a lost connection says nothing about what follows. */
function awayBecause(error: unknown): Problem {
  const { step, ...problem } = problemOf(error);
  return { ...problem, step: step || 'Nothing now: this browser tries again by itself.' };
}

export class Link {
  readonly #device: BrowserDevice;
  readonly #known: KnownDaemon;
  readonly #onChange: () => void;
  readonly #stop = new AbortController();
  readonly #clipboard: ClipboardAsks;
  readonly #operator: Operator;
  /** Those that are switched on; the agent looks each call up here. */
  readonly #capabilities = new Map<string, Capability>();
  #settings: Settings = { switches: [] };
  #lastChange: Promise<void> = Promise.resolve();
  #state: DaemonView['state'];
  #problem: Problem | undefined;
  #connection: { readonly transport: Transport; readonly close: () => void } | undefined;

  constructor(device: BrowserDevice, known: KnownDaemon, onChange: () => void) {
    this.#device = device;
    this.#known = known;
    this.#onChange = onChange;
    this.#state = known.state === 'pending' ? 'waiting' : 'connecting';
    this.#clipboard = new ClipboardAsks(onChange);
    this.#operator = new Operator(known.trustDomain, onChange);
  }

  get view(): DaemonView {
    const { root, daemonId, trustDomain, address, deviceId, words } = this.#known;
    const problem = this.#problem ?? this.#operator.problem;
    return {
      root,
      daemonId,
      trustDomain,
      address,
      deviceId,
      state: this.#state,
      ...(this.#state === 'waiting' && words !== undefined && { words }),
      ...(problem && { problem }),
      switches: this.#settings.switches,
      requests: this.#operator.requests,
      clipboard: this.#clipboard.waiting,
    };
  }

  /** Connects anew, where it is connected: the connection may have died without a word. */
  reconnect(): void {
    this.#connection?.close();
  }

  /** Returns when the daemon has said its last word, or after `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const { root } = this.#known;
    try {
      this.#settings = await readSettings(root);
      this.#offer();
      if (this.#state === 'waiting') {
        this.#onChange();
        await this.#device.resume(root, { onWords: () => {}, signal });
      } else if (this.#settings.ended) {
        this.#show('ended', this.#settings.ended);
        return;
      }
      this.#show('connecting');
      const capabilities = this.#capabilities;
      await serveDaemon(this.#device, { root, capabilities, signal, onState: (it) => this.#follow(it) });
    } catch (error) {
      if (signal.aborted) return;
      await this.#end(problemOf(error));
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#operator.stop();
  }

  /** Takes what the person chose, and tells the daemon at once. */
  change(name: Switch, isOn: boolean): Promise<void> {
    return this.#inTurn(async () => {
      const others = this.#settings.switches.filter((each) => each !== name);
      await writeSettings(this.#known.root, {
        ...this.#settings,
        switches: isOn ? [...others, name] : others,
      });
      await this.#takeSettings();
    });
  }

  /** Drops what the browser no longer permits. */
  checkPermissions(): Promise<void> {
    return this.#inTurn(() => this.#takeSettings());
  }

  /** Two pages may change something at the same time. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#lastChange.then(work);
    this.#lastChange = result.catch(() => {});
    return result;
  }

  async #takeSettings(): Promise<void> {
    this.#settings = await readSettings(this.#known.root);
    this.#offer();
    this.#onChange();
    if (!this.#connection) return;
    await createClient(NodeService, this.#connection.transport).register({
      platform: 'browser',
      capabilities: [...this.#capabilities.keys()],
    });
    this.#watchRequests();
  }

  async approve(id: string, seen: { readonly words: string; readonly role: number }): Promise<void> {
    await this.#operator.approve(id, seen);
  }

  async reject(id: string): Promise<void> {
    await this.#operator.reject(id);
  }

  answerClipboard(id: string, text: string | undefined): void {
    this.#clipboard.answer(id, text);
  }

  #offer(): void {
    const all = capabilitiesOf(this.#known.trustDomain, this.#clipboard);
    this.#capabilities.clear();
    for (const name of this.#settings.switches)
      if (name !== 'requests') this.#capabilities.set(name, all[name satisfies CapabilityName]);
  }

  #follow(state: ServeState): void {
    switch (state.state) {
      case 'connected':
        this.#connection = state;
        this.#show('connected');
        this.#watchRequests();
        return;
      case 'renewal_failed':
        this.#show('connected', problemOf(state.error));
        return;
      case 'disconnected':
        this.#connection = undefined;
        this.#operator.stop();
        this.#show('away', awayBecause(state.error));
        return;
      default:
        this.#connection = undefined;
        if (!this.#problem) this.#show('connecting');
    }
  }

  #watchRequests(): void {
    if (this.#connection && this.#settings.switches.includes('requests'))
      this.#operator.start(this.#connection.transport);
    else this.#operator.stop();
  }

  async #end(problem: Problem): Promise<void> {
    this.#operator.stop();
    this.#show('ended', problem);
    await writeSettings(this.#known.root, { ...this.#settings, ended: problem });
  }

  #show(state: DaemonView['state'], problem?: Problem): void {
    this.#state = state;
    this.#problem = problem;
    this.#onChange();
  }
}
