// The systemd unit of a service: it may write its own folder, listen and dial, and nothing else.

import { basename, dirname } from 'node:path';
import { CliError } from './failure.ts';
import { type Service, serviceUser, stopSeconds } from './installed-service.ts';

export const unitName = (service: Pick<Service, 'name'>): string => `${service.name}.service`;
/** What a system unit does not see: ProtectHome and PrivateTmp. */
export const hiddenFolders = ['/home', '/root', '/run/user', '/tmp', '/var/tmp'];
/** Where systemd makes a folder for a system unit. */
export const stateFolder = '/var/lib';
/** Where the daemon finds the credential of a system unit. */
export const credentialPath = '/run/credentials/palyra.service/master-key';

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

const notifying = [
  'Type=notify',
  '# systemd-notify speaks for the daemon, and is not its main process.',
  'NotifyAccess=all',
  'WatchdogSec=60s',
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
export function systemdUnit(service: Service): string {
  const { executable, args, credential } = service;
  const isSystem = service.scope === 'system';
  // systemd refuses these where it has a program's own path, in which it takes no variable for one.
  if (/["'\\]/.test(executable[0])) throw cannotHold(executable[0]);
  const [program, ...words] = [...executable, ...args].map(word) as [string, ...string[]];
  return [
    '[Unit]',
    `Description=${service.title}`,
    // A machine may have the time from the network only, and a first start before that makes a root that ends early.
    ...(isSystem ? ['Wants=network-online.target', 'After=network-online.target time-sync.target'] : []),
    '',
    '[Service]',
    ...(service.notifies ? notifying : ['Type=exec']),
    `ExecStart=${[program, ...words.map((each) => each.replaceAll('$', '$$$$'))].join(' ')}`,
    'Restart=on-failure',
    `RestartSec=${service.restartSeconds}s`,
    '# A configuration that cannot be used does not get better.',
    'RestartPreventExitStatus=2',
    '# Longer than the longest limits.stopGraceMs. Only palyra itself is asked to stop.',
    `TimeoutStopSec=${stopSeconds}s`,
    'KillMode=mixed',
    'LimitNOFILE=65536',
    ...(isSystem ? ownership(service) : []),
    ...(credential
      ? [`LoadCredential${credential.encrypted ? 'Encrypted' : ''}=master-key:${restOfLine(credential.path)}`]
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
export function sysusersFile({ user, home }: Service): string {
  return `u ${user} - "Palyra Identity" ${word(home)}\n`;
}

/** Whether systemd makes this home, and gives it to the service's user. */
export function isStateFolder(home: string): boolean {
  return dirname(home) === stateFolder && /^[\w-]+$/.test(basename(home));
}

function ownership({ user, home, writes }: Service): string[] {
  const writable = [...(isStateFolder(home) ? [] : [home]), ...(writes === undefined ? [] : [writes])];
  return [
    `User=${user}`,
    // Its first group, whatever that is called, where the user is not ours.
    ...(user === serviceUser ? [`Group=${user}`] : []),
    ...(isStateFolder(home) ? [`StateDirectory=${basename(home)}`, 'StateDirectoryMode=0700'] : []),
    ...(writable.length > 0 ? [`ReadWritePaths=${writable.map(word).join(' ')}`] : []),
  ];
}

/** One word of a unit file: systemd.syntax(7). */
function word(text: string): string {
  const escaped = specifiersEscaped(text);
  if (/^[\w/.+@:,%=-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** Taken as it is, without quotes: a space at its end would be lost, and a backslash would take in the next line. */
function restOfLine(text: string): string {
  if (/[\s\\]$/.test(text)) throw cannotHold(text);
  return specifiersEscaped(text);
}

function specifiersEscaped(text: string): string {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) throw cannotHold(text);
  return text.replaceAll('%', '%%');
}

const cannotHold = (text: string) =>
  new CliError('USAGE', `A unit cannot hold the path ${JSON.stringify(text)}.`);
