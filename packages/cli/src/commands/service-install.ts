// Installs and removes a systemd service: `palyra daemon install` and `palyra node install`. These commands write files
// and print the commands to run next. The operator starts and stops the service.

import { chmod, lstat, readFile, readlink, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { makeParents } from '@palyra/identity/files';
import { codeOf } from '@palyra/identity/values';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { CliError, fileFailed } from '../failure.ts';
import { quoted, userHomeOf } from '../home.ts';
import { type Service, serviceUser } from '../installed-service.ts';
import { launchdFile, launchdJob, launchdStart } from '../launchd-job.ts';
import {
  credentialPath,
  hiddenFolders,
  isStateFolder,
  stateFolder,
  systemdUnit,
  sysusersFile,
  unitName,
} from '../systemd-unit.ts';

export interface PlaceOptions {
  readonly user?: boolean;
  readonly root?: string;
}

export interface InstallOptions extends PlaceOptions {
  readonly print?: boolean;
  readonly launchd?: boolean;
  /** Of the program. A system service ignores PALYRA_HOME, because that is one person's setting. */
  readonly home?: string;
}

/** @returns the command, with the options common to every service. */
export function withInstallOptions(command: Command): Command {
  return command
    .option('--user', 'install a service that runs as you, without root')
    .option('--print', 'print the unit and write nothing')
    .option('--launchd', 'print a launchd job for macOS, and write nothing')
    .option('--root <dir>', 'write below this folder, for an image');
}

/** @returns the part of a service that these options set. */
export function placeOfService(
  cli: Cli,
  options: InstallOptions,
): Pick<Service, 'scope' | 'executable' | 'home'> {
  const [node, script] = cli.invocation.executable;
  return {
    scope: options.user ? 'user' : 'system',
    executable: [node, resolve(script)],
    // A user without a home folder can still print a unit.
    home: options.user || options.home ? cli.home.path : join(stateFolder, 'palyra'),
  };
}

/** @param after the command to run once the service has started, and its purpose. */
export async function install(
  cli: Cli,
  service: Service,
  options: InstallOptions,
  after: { readonly what: string; readonly command: string },
): Promise<void> {
  const { output, invocation } = cli;
  if (options.launchd && options.root !== undefined)
    throw new CliError('USAGE', '--launchd prints the job and writes no file: leave out --root.');
  if (options.launchd) return printJob(cli, service);
  const text = systemdUnit(service);
  const problem =
    (await hiddenFrom(service)) ?? (await closedTo(service)) ?? (await ownedByAnother(service, options));
  if (options.print) {
    if (problem) output.note(`note: ${problem}`);
    output.answer({ unit: text }, () => text.trimEnd());
    return;
  }
  if (problem) throw new CliError('USAGE', problem);
  const place = placeOf(cli, service.name, options);
  const sysusers = service.user === serviceUser ? place.sysusers : undefined;
  for (const file of [place.unit, sysusers]) {
    if (file === undefined) continue;
    await checkInside(file, options);
    await checkFree(file);
  }
  await writeWhole(place.unit, text);
  if (sysusers) await writeWhole(sysusers, sysusersFile(service));
  const systemctl = options.user ? 'systemctl --user' : 'systemctl';
  const owner = options.user ? '' : ` -o ${service.user}`;
  const next = [
    ...(sysusers ? [`systemd-sysusers ${placeOf(cli, service.name, { root: '/' }).sysusers}`] : []),
    // systemd refuses to start a service whose ReadWritePaths do not exist.
    ...(service.writes && !(await isThere(service.writes))
      ? [`install -d${owner} ${quoted(service.writes)}`]
      : []),
    `${systemctl} daemon-reload`,
    `${systemctl} enable --now ${unitName(service)}`,
  ];
  const asUser = options.user ? '' : `sudo -u ${service.user} `;
  output.answer({ unit: place.unit, sysusers: sysusers ?? null, home: service.home, next }, () =>
    [
      `Wrote ${[place.unit, sysusers].filter(Boolean).join(' and ')}. The service keeps its data in ${service.home}.`,
      ...(service.credential
        ? ['', 'In its config.json:', `  "masterKey": {"from": "credential", "path": "${credentialPath}"}`]
        : []),
      '',
      `Start it${options.root ? ' in the image' : ''}, now and at every boot:`,
      ...next.map((each) => `  ${each}`),
      ...(options.user
        ? ['To keep it running while you are not logged in:', '  loginctl enable-linger']
        : []),
      after.what,
      `  ${asUser}${invocation.program} ${after.command} --home ${quoted(service.home)}`,
    ].join('\n'),
  );
}

/** The job may be for another machine, so nothing on this machine is checked. */
function printJob({ output, invocation }: Cli, service: Service): void {
  const job = launchdJob(service);
  const file = launchdFile(service, invocation.userHome);
  const owner = service.scope === 'system' ? `, make ${service.home} for the user ${service.user}` : '';
  output.note(`note: Save it as ${file}${owner}, then run: ${launchdStart(service, file)}`);
  output.answer({ job, file }, () => job.trimEnd());
}

export async function uninstall(cli: Cli, name: Service['name'], options: PlaceOptions): Promise<void> {
  const place = placeOf(cli, name, options);
  for (const file of [place.unit, place.wanted, place.sysusers]) if (file) await checkInside(file, options);
  try {
    await rm(place.unit);
    await rm(place.wanted, { force: true });
    // The daemon and the agent of a machine share one user.
    if (place.sysusers && !(await isThere(place.other))) await rm(place.sysusers, { force: true });
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new IdentityError('NOTHING_FOUND', `There is no ${place.unit}.`);
    throw fileFailed(place.unit, 'removed', cause);
  }
  const systemctl = options.user ? 'systemctl --user' : 'systemctl';
  const next = [`${systemctl} stop ${unitName({ name })}`, `${systemctl} daemon-reload`];
  cli.output.answer({ removed: place.unit, next }, () =>
    [
      `Removed ${place.unit}. The data of the service is kept. If the service is still running, stop it:`,
      ...next.map((each) => `  ${each}`),
    ].join('\n'),
  );
}

/** The problem if the service would need a folder of a person, which systemd hides from it; undefined if not. */
async function hiddenFrom(service: Service): Promise<string | undefined> {
  const { scope, executable, home, reads, writes } = service;
  if (scope === 'user') return undefined;
  for (const path of [...executable, home, ...reads, ...(writes === undefined ? [] : [writes])]) {
    for (const each of [path, await realpath(path).catch(() => path)]) {
      if (hiddenFolders.some((folder) => each === folder || each.startsWith(`${folder}/`)))
        return `A system service cannot access ${each}. Put it elsewhere, for example in /opt or /etc, or use --user.`;
    }
  }
  return undefined;
}

/** The problem if the service's user cannot run palyra: under a strict umask, npm installs for root alone. */
export async function closedTo({
  scope,
  executable,
  user,
}: Pick<Service, 'scope' | 'executable' | 'user'>): Promise<string | undefined> {
  if (scope === 'user' || user === 'root') return undefined;
  const [node, script] = executable;
  for (const [file, needed] of [
    [node, 0o001],
    [script, 0o004],
  ] as const) {
    const path = await realpath(file).catch(() => file);
    for (let each = path; ; each = dirname(each)) {
      const mode = (await stat(each).catch(() => undefined))?.mode;
      if (mode !== undefined && (mode & (each === path ? needed : 0o001)) === 0)
        return `The user ${user} of the service cannot read ${each}. Install palyra again with umask 022, or in a folder that everybody can enter.`;
      if (each === dirname(each)) break;
    }
  }
  return undefined;
}

/** The problem if the service cannot use its home; undefined if it can, or if systemd creates the folder. */
async function ownedByAnother(service: Service, { root }: PlaceOptions): Promise<string | undefined> {
  const { scope, home, user } = service;
  if (scope === 'user' || isStateFolder(home)) return undefined;
  const folder = below(root, home);
  const owner = (await stat(folder).catch(() => undefined))?.uid;
  if (owner === undefined) return undefined;
  const users = await readFile(below(root, '/etc/passwd'), 'utf8').catch(() => '');
  const entry = users.split('\n').find((line) => line.startsWith(`${user}:`));
  if (entry !== undefined && Number(entry.split(':')[2]) === owner) return undefined;
  const first = entry === undefined ? `useradd --system ${user} && ` : '';
  const what = `run: ${first}chown -R ${user}: ${quoted(folder)}`;
  return owner === 0
    ? `${folder} belongs to root, but the service runs as the user ${user}. To give the folder to that user, ${what}`
    : `${folder} belongs to user ${owner}, but the service runs as the user ${user}. Choose another home with --home, use --user, or ${what}`;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function below(root: string | undefined, path: string): string {
  return root === undefined ? path : join(resolve(root), path);
}

/** @throws USAGE if a service cannot be installed here. */
function placeOf({ invocation }: Cli, name: Service['name'], { user, root }: PlaceOptions) {
  const { platform, isRoot } = invocation;
  if (!platform.startsWith('linux'))
    throw new CliError('USAGE', 'This system has no systemd. For launchd on macOS, use --launchd');
  if (!user && !isRoot && root === undefined)
    throw new CliError('USAGE', 'Only root can install a system service. Use sudo, or --user.');
  const folder = below(
    root,
    user ? join(userHomeOf(invocation), '.config/systemd/user') : '/etc/systemd/system',
  );
  return {
    unit: join(folder, unitName({ name })),
    other: join(folder, unitName({ name: name === 'palyra' ? 'palyra-node' : 'palyra' })),
    wanted: join(folder, `${user ? 'default' : 'multi-user'}.target.wants`, unitName({ name })),
    sysusers: user ? undefined : below(root, '/etc/sysusers.d/palyra.conf'),
  };
}

/** Refuses a link in place of the file, such as the link to /dev/null of a masked unit. @throws USAGE */
async function checkFree(file: string): Promise<void> {
  const target = await readlink(file).catch(() => undefined);
  if (target === '/dev/null')
    throw new CliError('USAGE', `${file} is masked. First run: systemctl unmask ${basename(file)}`);
  if (target !== undefined) throw new CliError('USAGE', `${file} is a link to ${target}. Remove it first.`);
}

/** Refuses a link in the folder of an image that leads to files of this machine. @throws USAGE */
async function checkInside(file: string, { root }: PlaceOptions): Promise<void> {
  if (root === undefined) return;
  const top = resolve(root);
  let folder = dirname(file);
  // The longest part of the path that exists; a dangling link counts.
  while (folder !== top && (await lstat(folder).catch(() => undefined)) === undefined)
    folder = dirname(folder);
  if (folder === top) return;
  const [inside, real] = [await realpath(top), await realpath(folder).catch(() => undefined)];
  if (real?.startsWith(join(inside, '/'))) return;
  throw new CliError('USAGE', `${folder} leads out of ${root} through a link.`);
}

async function writeWhole(file: string, text: string): Promise<void> {
  try {
    await makeParents(dirname(file), 0o755);
    await writeFile(file, text, { mode: 0o644 });
    // Everybody can read a unit, whatever root's umask is.
    await chmod(file, 0o644);
  } catch (cause) {
    throw fileFailed(file, 'written', cause);
  }
}
