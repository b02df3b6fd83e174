// Keeps this browser connected to a daemon, and runs capabilities for the daemon: the agent, over a channel of the browser. It
// has its own subpath, because a page that only makes calls does not need it.

import type { Transport } from '@connectrpc/connect';
import { type AgentState, type Capabilities, runAgent } from '@palyra/agent/portable';
import type { IdentityErrorCode } from '@palyra/identity/portable';
import type { BrowserDevice } from './device.ts';
import { exclusively } from './lock.ts';
import { connectionOn, reachNode, reachRecovery } from './reach.ts';

export type { Capabilities, Capability, CapabilityCall } from '@palyra/agent/portable';

export type ServeState =
  | Exclude<AgentState, { state: 'connected' | 'renewed' }>
  /**
   * `transport` carries the device's own calls while the connection lasts: `createClient(Service, transport)`. `close` ends the
   * connection, and the agent connects again at once: for a program that knows that the machine slept.
   */
  | { readonly state: 'connected'; readonly transport: Transport; readonly close: () => void }
  | { readonly state: 'renewed'; readonly how: 'renewal' | 'recovery' };

export interface ServeOptions {
  /** Of `daemons`. Default: the only one. */
  readonly root?: string;
  /** The capabilities that the operator may run here. Default: none. */
  readonly capabilities?: Capabilities;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Called with each change of state. */
  readonly onState?: (state: ServeState) => void;
  /** Called for each call: name and outcome, never contents. */
  readonly onCall?: (capability: string, outcome: 'ok' | IdentityErrorCode) => void;
}

/**
 * Stays connected to a daemon, renews the certificate, and runs capabilities for the daemon, until `signal` ends it. Only one
 * page or worker of this origin does so at a time; the others wait for their turn.
 * @throws NOT_PAIRED, and the daemon's final answer: DEVICE_REVOKED, DEVICE_NOT_FOUND, PROOF_WRONG, CALLER_NOT_ALLOWED,
 *   CHANNEL_REPLACED, CHANNEL_IN_USE.
 */
export async function serveDaemon(device: BrowserDevice, options: ServeOptions): Promise<void> {
  const { root } = (await device.enrolled(options.root)).enrollment;
  const { signal } = options;
  await exclusively(`serve ${root}`, () => serve(device, { ...options, root }), signal).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

async function serve(
  device: BrowserDevice,
  { root, capabilities = new Map(), signal, onState, onCall }: ServeOptions & { readonly root: string },
): Promise<void> {
  // Read after the wait: another page may have renewed the certificate.
  const { parts, enrollment } = await device.enrolled(root);
  let present: { readonly transport: Transport; readonly close: () => void } | undefined;
  await runAgent({
    device: parts,
    enrollment,
    async dial(known) {
      const channel = await reachNode(parts.crypto, known);
      const connection = connectionOn(channel);
      present = { transport: connection.transport, close: connection.close };
      return { name: 'websocket', address: '', ...connection, closed: channel.closed };
    },
    async dialRecovery(known) {
      const channel = await reachRecovery(parts.crypto, known);
      return { ...connectionOn(channel), closed: channel.closed.then(() => undefined) };
    },
    capabilities,
    platform: 'browser',
    signal,
    exclusively: (work) => exclusively(`certificate ${root}`, work),
    onState(state) {
      if (state.state === 'renewed') onState?.({ state: 'renewed', how: state.how });
      else if (state.state !== 'connected') onState?.(state);
      else if (present) onState?.({ state: 'connected', ...present });
    },
    ...(onCall && { onCall }),
  });
}
