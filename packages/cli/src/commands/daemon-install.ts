// `palyra daemon install` and `uninstall`: the daemon as a service of systemd. They write files and say what to run;
// what runs on the machine is the operator's to change.

import { readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { IdentityError, makeParents } from '@palyra/identity';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError, fileFailed } from '../failure.ts';
import { withExamples } from '../help.ts';
import { userHomeOf } from '../home.ts';
import {
  credentialPath,
  hiddenFolders,
  isStateFolder,
  stateFolder,
  systemdUnit,
  sysusersFile,
  type UnitOptions,
  unitName,
  unitUser,
} from '../systemd-unit.ts';

interface PlaceOptions {
  readonly user?: boolean;
  readonly root?: string;
}

interface InstallOptions extends PlaceOptions {
  readonly print?: boolean;
  readonly credential?: string;
  readonly encryptedCredential?: string;
  /** Of `palyra daemon` itself. */
  readonly config?: string;
  /** Of the program: for the machine, PALYRA_HOME does not count, because it is a person's. */
  readonly home?: string;
}

export function addDaemonInstall(daemon: Command, cli: () => Cli): void {
  withExamples(
    daemon
      .command('install')
      .summary('Make the daemon a service of systemd.')
      .description(
        'Write a hardened systemd unit that runs the daemon, and say what to run next. As root for the machine, with a user of its own; with --user for yourself.',
      )
      .option('--user', 'a service of your own, without root')
      .option('--print', 'print the unit and write nothing')
      .option('--credential <file>', 'the master key or passphrase, which only systemd needs to read')
      .option('--encrypted-credential <file>', 'the same, as systemd-creds encrypt wrote it')
      .option('--root <dir>', 'write below this folder, to prepare an image')
      .action((_: unknown, command: Command) => install(cli(), command.optsWithGlobals<InstallOptions>())),
    'palyra daemon install',
    'palyra daemon install --user --print',
    'palyra daemon install --encrypted-credential /etc/credstore.encrypted/palyra-master-key',
  );
  withExamples(
    daemon
      .command('uninstall')
      .description('Remove the systemd unit again. What the daemon has stored stays.')
      .option('--user', 'the service of your own')
      .option('--root <dir>', 'remove it below this folder')
      .action((options: PlaceOptions) => uninstall(cli(), options)),
    'palyra daemon uninstall',
  );
}

async function install(cli: Cli, options: InstallOptions): Promise<void> {
  const { output, invocation } = cli;
  const unit = await describeUnit(cli, options);
  const text = systemdUnit(unit);
  const problem = (await hiddenFrom(unit)) ?? (await ownedByAnother(unit, options));
  if (options.print) {
    if (problem) output.note(`note: ${problem}`);
    output.answer({ unit: text }, () => text.trimEnd());
    return;
  }
  if (problem) throw new CliError('USAGE', problem);
  const place = placeOf(cli, options);
  await writeWhole(place.unit, text);
  if (place.sysusers) await writeWhole(place.sysusers, sysusersFile(unit.home));
  const systemctl = options.user ? 'systemctl --user' : 'systemctl';
  const next = [
    ...(place.sysusers ? [`systemd-sysusers ${place.sysusers}`] : []),
    `${systemctl} daemon-reload`,
    `${systemctl} enable --now ${unitName}`,
  ];
  const asUser = options.user ? '' : `sudo -u ${unitUser} `;
  const pairing = `${asUser}${invocation.program} pairing code --home ${unit.home}`;
  output.answer({ unit: place.unit, sysusers: place.sysusers ?? null, home: unit.home, next }, () =>
    [
      `Wrote ${[place.unit, place.sysusers].filter(Boolean).join(' and ')}. The daemon will keep everything in ${unit.home}.`,
      ...(unit.credential
        ? ['', 'In its config.json:', `  "masterKey": {"from": "credential", "path": "${credentialPath}"}`]
        : []),
      '',
      'Start it, now and at every boot:',
      ...next.map((each) => `  ${each}`),
      ...(options.user ? ['Also while you are not logged in:', '  loginctl enable-linger'] : []),
      'Then pair the first device:',
      `  ${pairing}`,
    ].join('\n'),
  );
}

async function uninstall(cli: Cli, options: PlaceOptions): Promise<void> {
  const place = placeOf(cli, options);
  try {
    await rm(place.unit);
    await rm(place.wanted, { force: true });
    if (place.sysusers) await rm(place.sysusers, { force: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new IdentityError('NOTHING_FOUND', `There is no ${place.unit}.`);
    throw fileFailed(place.unit, 'removed', cause);
  }
  const systemctl = options.user ? 'systemctl --user' : 'systemctl';
  const next = [`${systemctl} stop ${unitName}`, `${systemctl} daemon-reload`];
  cli.output.answer({ removed: place.unit, next }, () =>
    [
      `Removed ${place.unit}. What the daemon has stored stays. Stop it, should it still run:`,
      ...next.map((each) => `  ${each}`),
    ].join('\n'),
  );
}

async function describeUnit(cli: Cli, options: InstallOptions): Promise<UnitOptions> {
  const { user, config, home, credential, encryptedCredential } = options;
  const file = credential ?? encryptedCredential;
  if (user && file !== undefined)
    throw new CliError('USAGE', 'A credential is for a service of the machine: leave out --user.');
  if (credential !== undefined && encryptedCredential !== undefined)
    throw new CliError('USAGE', 'Give the credential encrypted or not, not both.');
  const [node, script] = cli.invocation.executable;
  return {
    scope: user ? 'user' : 'system',
    executable: [node, resolve(script)],
    home: user || home ? cli.home.path : join(stateFolder, 'palyra'),
    ...(config !== undefined && { config: resolve(config) }),
    ...(file !== undefined && {
      credential: { path: resolve(file), encrypted: encryptedCredential !== undefined },
    }),
  };
}

/** Why the service could not start: it does not see people's folders. Undefined when it does not need to. */
async function hiddenFrom({ scope, executable, home, config }: UnitOptions): Promise<string | undefined> {
  if (scope === 'user') return undefined;
  for (const path of [...executable, home, ...(config === undefined ? [] : [config])]) {
    for (const each of [path, await realpath(path).catch(() => path)]) {
      if (hiddenFolders.some((folder) => each === folder || each.startsWith(`${folder}/`)))
        return `A service of the machine does not see ${each}. Put it elsewhere, as in /opt or /etc, or use --user.`;
    }
  }
  return undefined;
}

/** Why the service could not use its home. Undefined when it can, or when systemd gives it the folder. */
async function ownedByAnother(unit: UnitOptions, { root }: PlaceOptions): Promise<string | undefined> {
  if (unit.scope === 'user' || isStateFolder(unit.home)) return undefined;
  const folder = below(root, unit.home);
  const owner = (await stat(folder).catch(() => undefined))?.uid;
  if (owner === undefined) return undefined;
  const users = await readFile(below(root, '/etc/passwd'), 'utf8').catch(() => '');
  const user = users.split('\n').find((line) => line.startsWith(`${unitUser}:`));
  if (user !== undefined && Number(user.split(':')[2]) === owner) return undefined;
  const first = user === undefined ? `useradd --system ${unitUser} && ` : '';
  const what = `run: ${first}chown -R ${unitUser}: ${folder}`;
  return owner === 0
    ? `${folder} belongs to root, and the service runs as the user ${unitUser}. To give it that user, ${what}`
    : `${folder} belongs to user ${owner}, and the service runs as the user ${unitUser}. Name another home with --home, use --user, or ${what}`;
}

function below(root: string | undefined, path: string): string {
  return root === undefined ? path : join(resolve(root), path);
}

/** @throws USAGE where a service cannot be installed. */
function placeOf({ invocation }: Cli, { user, root }: PlaceOptions) {
  const { platform, isRoot } = invocation;
  if (!platform.startsWith('linux')) throw new CliError('USAGE', 'There is no systemd on this system.');
  if (!user && !isRoot && root === undefined)
    throw new CliError(
      'USAGE',
      'A service of the machine is for root to install. Run it with sudo, or with --user.',
    );
  const folder = below(
    root,
    user ? join(userHomeOf(invocation), '.config/systemd/user') : '/etc/systemd/system',
  );
  return {
    unit: join(folder, unitName),
    wanted: join(folder, `${user ? 'default' : 'multi-user'}.target.wants`, unitName),
    sysusers: user ? undefined : below(root, '/etc/sysusers.d/palyra.conf'),
  };
}

async function writeWhole(file: string, text: string): Promise<void> {
  try {
    await makeParents(dirname(file), 0o755);
    await writeFile(file, text, { mode: 0o644 });
  } catch (cause) {
    throw fileFailed(file, 'written', cause);
  }
}
