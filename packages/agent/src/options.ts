// The options of an agent, and its states.

import type { Transport } from '@connectrpc/connect';
import type { IdentityError, IdentityErrorCode } from '@palyra/identity';
import type { PairedEnrollment, RenewingDevice } from '@palyra/identity/device';
import type { Http2Connection, NodeConnection } from '@palyra/rpc';
import type { Capabilities } from './capability.ts';

export type AgentState =
  | { readonly state: 'connecting' }
  | {
      readonly state: 'connected';
      readonly transport: 'http2' | 'quic' | 'websocket';
      readonly quicProblem?: string;
    }
  /** A new certificate is stored; `how` says whether it was renewed or recovered. */
  | { readonly state: 'renewed'; readonly how: 'renewal' | 'recovery'; readonly enrollment: PairedEnrollment }
  /** The present certificate is still valid; a retry follows. */
  | { readonly state: 'renewal_failed'; readonly error: IdentityError; readonly retryInMs: number }
  /** The agent reconnects by itself. */
  | { readonly state: 'disconnected'; readonly error: IdentityError; readonly retryInMs: number };

export interface AgentOptions {
  /** The identity of the device, with the store of its keys. */
  readonly device: RenewingDevice;
  /** The paired daemon. */
  readonly enrollment: PairedEnrollment;
  /** Opens a connection to the node listener. */
  readonly dial: (enrollment: PairedEnrollment) => Promise<NodeConnection>;
  /** Opens a connection to the pairing listener of the paired daemon, for a recovery. */
  readonly dialRecovery: (enrollment: PairedEnrollment) => Promise<Http2Connection>;
  /** The capabilities that the operator may run here; an empty map for none. */
  readonly capabilities: Capabilities;
  /** Shown to the operator. */
  readonly platform: string;
  /** Ends the agent. */
  readonly signal: AbortSignal;
  /** Called with each change of state. Default: none. */
  readonly onState?: (state: AgentState) => void;
  /** Called for each call, for a log: name and outcome, never contents. */
  readonly onCall?: (capability: string, outcome: 'ok' | IdentityErrorCode) => void;
  /**
   * Runs the work while no other program on this machine gets a certificate for this daemon: of two new certificates, the
   * one used first would end the other. Default: runs the work at once.
   */
  readonly exclusively?: <T>(work: () => Promise<T>) => Promise<T>;
  /** Works beside the agent over each of its connections, such as a `RequestWatch`. Default: nothing does. */
  readonly beside?: { over(transport: Transport, signal: AbortSignal): Promise<void> };
  /** First wait after a lost connection, ms; doubled up to 60 times this, each with jitter. Default 500. */
  readonly retryMs?: number;
}
