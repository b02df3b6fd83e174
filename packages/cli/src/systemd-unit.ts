// The systemd unit of a daemon: it may write its own folder, listen and dial, and nothing else.

import { basename, dirname } from 'node:path';
import { CliError } from './failure.ts';

export interface UnitOptions {
  /** `system`: root's, with a user of its own. `user`: one person's, without root. */
  readonly scope: 'system' | 'user';
  /** Absolute: Node and the script of palyra. */
  readonly executable: readonly [node: string, script: string];
  /** Absolute. */
  readonly home: string;
  /** A configuration elsewhere than in the home, absolute. */
  readonly config?: string;
  /** A file with the master key or the passphrase; `encrypted` as `systemd-creds encrypt` writes it. */
  readonly credential?: { readonly path: string; readonly encrypted: boolean };
}

export const unitName = 'palyra.service';
export const unitUser = 'palyra';
/** What a system unit does not see: ProtectHome and PrivateTmp. */
export const hiddenFolders = ['/home', '/root', '/run/user', '/tmp', '/var/tmp'];
/** Where systemd makes a folder for a system unit. */
export const stateFolder = '/var/lib';
/** Where the daemon finds the credential of a system unit. */
export const credentialPath = `/run/credentials/${unitName}/master-key`;

/**
 * Not there for a good reason: MemoryDenyWriteExecute, because Node compiles while it runs; a network of its own,
 * because devices come from everywhere; AF_NETLINK is how a program reads the machine's addresses.
 */
const everywhere = [
  'NoNewPrivileges=yes',
  'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged @resources',
  'SystemCallErrorNumber=EPERM',
  'UMask=0077',
];

/** What needs root to set up. */
const systemOnly = [
  'CapabilityBoundingSet=',
  'AmbientCapabilities=',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'PrivateUsers=yes',
  'ProtectProc=invisible',
  'ProcSubset=pid',
  'ProtectClock=yes',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'RemoveIPC=yes',
];

/** @throws USAGE for a path that a unit cannot hold. */
export function systemdUnit({ scope, executable, home, config, credential }: UnitOptions): string {
  const isSystem = scope === 'system';
  const command = [...executable, 'daemon', '--home', home, '--no-code'];
  if (config !== undefined) command.push('--config', config);
  return [
    '[Unit]',
    'Description=Palyra Identity daemon',
    // A machine may have the time from the network only, and a first start before that makes a root that ends early.
    ...(isSystem ? ['Wants=network-online.target', 'After=network-online.target time-sync.target'] : []),
    '',
    '[Service]',
    'Type=notify',
    '# systemd-notify speaks for the daemon, and is not its main process.',
    'NotifyAccess=all',
    `ExecStart=${command.map((each) => word(each).replaceAll('$', '$$$$')).join(' ')}`,
    'Restart=on-failure',
    'RestartSec=5s',
    '# A configuration that cannot be used does not get better.',
    'RestartPreventExitStatus=2',
    'WatchdogSec=60s',
    '# Longer than the longest limits.stopGraceMs. Only the daemon itself is asked to stop.',
    'TimeoutStopSec=75s',
    'KillMode=mixed',
    'LimitNOFILE=65536',
    ...(isSystem ? ownership(home) : []),
    ...(credential
      ? [
          `LoadCredential${credential.encrypted ? 'Encrypted' : ''}=master-key:${specifiersEscaped(credential.path)}`,
        ]
      : []),
    '',
    ...everywhere,
    ...(isSystem ? systemOnly : []),
    '',
    '[Install]',
    `WantedBy=${isSystem ? 'multi-user' : 'default'}.target`,
    '',
  ].join('\n');
}

/** For systemd-sysusers: the user of a system unit. */
export function sysusersFile(home: string): string {
  return `u ${unitUser} - "Palyra Identity daemon" ${word(home)}\n`;
}

/** Whether systemd makes this home, and gives it to the service's user. */
export function isStateFolder(home: string): boolean {
  return dirname(home) === stateFolder && /^[\w-]+$/.test(basename(home));
}

function ownership(home: string): string[] {
  const user = [`User=${unitUser}`, `Group=${unitUser}`];
  return isStateFolder(home)
    ? [...user, `StateDirectory=${basename(home)}`, 'StateDirectoryMode=0700']
    : [...user, `ReadWritePaths=${word(home)}`];
}

/** One word of a unit file: systemd.syntax(7). */
function word(text: string): string {
  const escaped = specifiersEscaped(text);
  if (/^[\w/.+@:,%=-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function specifiersEscaped(text: string): string {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text))
    throw new CliError('USAGE', `A unit cannot hold the path ${JSON.stringify(text)}.`);
  return text.replaceAll('%', '%%');
}
