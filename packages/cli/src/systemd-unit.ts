// Writes the systemd unit of a service, which may only write its own folder, listen and dial.

import { basename, dirname } from 'node:path';
import { CliError } from './failure.ts';
import { type Service, serviceUser, stopSeconds } from './installed-service.ts';

export const unitName = (service: Pick<Service, 'name'>): string => `${service.name}.service`;
/** Folders hidden from a system unit by ProtectHome and PrivateTmp. */
export const hiddenFolders = ['/home', '/root', '/run/user', '/tmp', '/var/tmp'];
/** The folder in which systemd creates a state folder for a system unit. */
export const stateFolder = '/var/lib';
/** The path of a system unit's credential, as the daemon sees it. */
export const credentialPath = '/run/credentials/palyra.service/master-key';

/**
 * MemoryDenyWriteExecute is left out because Node compiles code at run time, and a private network because devices
 * connect from other machines. AF_NETLINK lets the program read the machine's addresses.
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
  '# systemd-notify sends the messages of the daemon, but is not the main process.',
  'NotifyAccess=all',
  'WatchdogSec=60s',
];

/** Restrictions that only root can set up. */
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

/** @throws USAGE for a path that a unit file cannot hold. */
export function systemdUnit(service: Service): string {
  const { executable, args, credential } = service;
  const isSystem = service.scope === 'system';
  // systemd refuses these characters in the path of a program, where it also expands no variables.
  if (/["'\\]/.test(executable[0])) throw cannotContain(executable[0]);
  const [program, ...words] = [...executable, ...args].map(word) as [string, ...string[]];
  return [
    '[Unit]',
    `Description=${service.title}`,
    // Some machines get the time from the network. A first start before that creates a root that expires too early.
    ...(isSystem ? ['Wants=network-online.target', 'After=network-online.target time-sync.target'] : []),
    '',
    '[Service]',
    ...(service.notifies ? notifying : ['Type=exec']),
    `ExecStart=${[program, ...words.map((each) => each.replaceAll('$', '$$$$'))].join(' ')}`,
    'Restart=on-failure',
    `RestartSec=${service.restartSeconds}s`,
    '# A restart does not help against an unusable configuration.',
    'RestartPreventExitStatus=2',
    '# Longer than the longest limits.stopGraceMs. Only palyra itself gets the stop signal.',
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

/** The file for systemd-sysusers, which creates the user of a system unit. */
export function sysusersFile({ user, home }: Service): string {
  return `u ${user} - "Palyra Identity" ${word(home)}\n`;
}

/** Whether systemd creates this home for the service's user. */
export function isStateFolder(home: string): boolean {
  return dirname(home) === stateFolder && /^[\w-]+$/.test(basename(home));
}

function ownership({ user, home, writes }: Service): string[] {
  const writable = [...(isStateFolder(home) ? [] : [home]), ...(writes === undefined ? [] : [writes])];
  return [
    `User=${user}`,
    // For a user that is not ours, systemd takes the user's primary group.
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

/** A value without quotes: systemd would drop a space at its end, and a final backslash would join the next line. */
function restOfLine(text: string): string {
  if (/[\s\\]$/.test(text)) throw cannotContain(text);
  return specifiersEscaped(text);
}

function specifiersEscaped(text: string): string {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) throw cannotContain(text);
  return text.replaceAll('%', '%%');
}

const cannotContain = (text: string) =>
  new CliError('USAGE', `A unit cannot contain the path ${JSON.stringify(text)}.`);
