// The options of the admin service.

import type { ServiceImpl } from '@connectrpc/connect';
import type { IdentityManager } from '@palyra/identity';
import type { AdminService } from '@palyra/rpc';
import type { ListenerWord } from '@palyra/rpc/admin';
import type { AuditWatch } from '../audit-watch.ts';
import type { Connections } from '../channels/connections.ts';
import type { DeviceChannels } from '../channels/device-channels.ts';
import type { HealthHistory } from '../console/health.ts';
import type { ConsolePasskeys } from '../console/passkeys.ts';
import type { BackupSchedule } from '../home/backup-schedule.ts';
import type { FleetPlace } from '../home/shared-database.ts';
import type { Problem } from '../problems.ts';

export interface AdminServiceOptions {
  readonly identity: IdentityManager;
  readonly channels: DeviceChannels;
  /** Which devices are connected, to whichever daemon of the fleet. */
  readonly connections: Connections;
  /** Undefined for a registry in a file, which only this daemon has. */
  readonly fleet: Pick<FleetPlace, 'id' | 'members' | 'forget' | 'channels' | 'dueWork'> | undefined;
  readonly home: string;
  readonly version: string;
  readonly startedAt: Date;
  /** host:port of the pairing listener for devices. */
  readonly pairingAddress: () => string;
  /** Applies changes of the authorities to the listeners. */
  readonly authorityChanged: () => Promise<void>;
  readonly listeners: () => readonly { readonly name: ListenerWord; readonly address: string }[];
  readonly problems: () => Promise<readonly Problem[]>;
  readonly audit: AuditWatch;
  /** Undefined without scheduled backups. */
  readonly backups: BackupSchedule | undefined;
  readonly health: HealthHistory;
  /** Makes a login link for the console, or throws if that is not allowed. */
  readonly consoleLogin: () => { readonly url: string; readonly expiresAt: Date };
  /** Makes and asks for passkeys. Only in the console. */
  readonly consolePasskeys?: ConsolePasskeys;
  /** Ends streams that would otherwise never end. */
  readonly stopping: AbortSignal;
}

/** The methods of the service. Each subject has its own file. */
export type Methods<Name extends keyof ServiceImpl<typeof AdminService>> = Pick<
  ServiceImpl<typeof AdminService>,
  Name
>;
