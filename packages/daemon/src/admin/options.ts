// What the admin service is made of.

import type { ServiceImpl } from '@connectrpc/connect';
import type { IdentityManager } from '@palyra/identity';
import type { AdminService } from '@palyra/rpc';
import type { ListenerWord } from '@palyra/rpc/admin';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { HealthHistory } from '../console/health.ts';
import type { Problem } from '../problems.ts';

export interface AdminServiceOptions {
  readonly identity: IdentityManager;
  readonly channels: DeviceChannels;
  readonly home: string;
  readonly version: string;
  readonly startedAt: Date;
  /** host:port of the pairing listener as devices reach it. */
  readonly pairingAddress: () => string;
  /** Takes what changed among the authorities to the listeners. */
  readonly authorityChanged: () => Promise<void>;
  readonly listeners: () => readonly { readonly name: ListenerWord; readonly address: string }[];
  readonly problems: () => Promise<readonly Problem[]>;
  readonly health: HealthHistory;
  /** Makes a login link for the console. Throws where that is not to be had. */
  readonly consoleLogin: () => { readonly url: string; readonly expiresAt: Date };
  /** Ends what would be watched for ever. */
  readonly stopping: AbortSignal;
}

/** The methods of the service. Each subject has some of them, in a file of its own. */
export type Methods<Name extends keyof ServiceImpl<typeof AdminService>> = Pick<
  ServiceImpl<typeof AdminService>,
  Name
>;
