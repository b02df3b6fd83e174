// What an agent is made of, and what it tells about itself.

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
