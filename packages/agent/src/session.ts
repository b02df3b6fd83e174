// The agent's channel to the daemon: a series of connections, each of which continues where the last one ended.

import { createClient } from '@connectrpc/connect';
import { tryLast } from '@palyra/identity/device-portable';
import { IdentityError } from '@palyra/identity/portable';
import { type DeviceEvent, NodeService } from '@palyra/rpc/portable';
import { type CapabilityRuns, deviceEvent } from './capability-runs.ts';
import type { AgentCertificate, Renewal } from './certificate.ts';
import { dialled } from './dialled.ts';
import { MessageQueue } from './message-queue.ts';
import type { AgentOptions } from './options.ts';

/** The end of `serve` after a renewal: the agent reconnects at once, with the new certificate. */
export const renewed = new IdentityError('UNREACHABLE', 'The certificate was renewed.');

export class Session {
  readonly #options: AgentOptions;
  readonly #certificate: AgentCertificate;
  readonly #runs: CapabilityRuns;
  readonly #id: Uint8Array;
  #lastSeq = 0n;
  /** The endpoint of the last connection. */
  #last: string | undefined;

  constructor(options: AgentOptions, certificate: AgentCertificate, runs: CapabilityRuns) {
    this.#options = options;
    this.#id = options.device.identity.crypto.randomBytes(16);
    this.#certificate = certificate;
    this.#runs = runs;
  }

  /** Runs one connection, from dialling to its end. */
  async serve(onConnected: () => void): Promise<void> {
    const { dial, capabilities, platform, signal, onState } = this.#options;
    // A use of the replaced certificate would look like a copy of this device.
    await this.#certificate.adoptStored();
    const { enrollment } = this.#certificate;
    const connection = await dialled(signal, dial(this.#last ? tryLast(enrollment, this.#last) : enrollment));
    // If this connection ends, another daemon of the fleet may answer sooner.
    this.#last = connection.address;
    const ended = new AbortController();
    const end = () => ended.abort();
    const over = AbortSignal.any([signal, ended.signal]);
    let renewal: Renewal | undefined;
    let outgoing: MessageQueue<DeviceEvent> | undefined;
    try {
      const node = createClient(NodeService, connection.transport);
      renewal = this.#certificate.watchRenewal(node, end);
      await node.register({ platform, capabilities: [...capabilities.keys()] }, { signal: over });
      outgoing = new MessageQueue<DeviceEvent>();
      outgoing.push(
        deviceEvent({
          case: 'hello',
          value: { agentId: this.#id, lastSeq: this.#lastSeq, quicProblem: connection.quicProblem ?? '' },
        }),
      );
      this.#runs.sendOver(outgoing);
      void this.#options.beside?.over(connection.transport, over);
      for await (const { seq, event } of node.events(outgoing, { signal: over })) {
        if (event.case === 'welcome') {
          onConnected();
          onState?.({
            state: 'connected',
            transport: connection.name,
            ...(connection.quicProblem && { quicProblem: connection.quicProblem }),
          });
          const { renewAfterMs } = event.value;
          if (renewAfterMs !== undefined) this.#certificate.takePlan(renewAfterMs);
          // Stores the announced endpoints. If that fails now, the daemon announces them again.
          await this.#certificate.takeEndpoints(event.value.endpoints).catch(() => {});
        } else if (event.case === 'endpoints') {
          await this.#certificate.takeEndpoints(event.value).catch(() => {});
        } else if (event.case === 'renewalAsked') {
          this.#certificate.askedToRenew(event.value);
          renewal.look();
        } else this.#runs.take(event);
        if (seq > this.#lastSeq) this.#lastSeq = seq;
      }
      if (renewal.done) throw renewed;
    } catch (error) {
      throw renewal?.done ? renewed : error;
    } finally {
      renewal?.stop();
      outgoing?.end();
      ended.abort();
      connection.close();
    }
  }
}
