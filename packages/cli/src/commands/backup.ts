// `palyra backup`, `palyra restore`, `palyra secrets rekey`, `palyra doctor`: commands on the whole state of a daemon.

import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { BackupOpener, BackupSummary, ExamineOptions } from '@palyra/daemon/home';
import { parseDeviceId } from '@palyra/identity/values';
import type { Command } from 'commander';
import { type Cli, followUp } from '../cli.ts';
import { CliError, fileFailed } from '../failure.ts';
import { withExamples } from '../help.ts';
import { quoted } from '../home.ts';
import { nextStep } from '../next-step.ts';
import { askSecret, canAsk } from '../question.ts';
import { formatTime, isoTime } from '../time.ts';

export interface ConfigOptions {
  readonly config?: string;
}

interface PassphraseOptions extends ConfigOptions {
  readonly passphraseFile?: string;
}

interface BackupOptions extends PassphraseOptions {
  readonly replace?: boolean;
}

interface RestoreOptions extends PassphraseOptions {
  readonly identityFile?: string;
  readonly revoked: readonly string[];
  readonly revokedLater: readonly string[];
  readonly noneRevoked?: boolean;
}

interface RekeyOptions extends ConfigOptions {
  readonly next?: string;
}

export const configOption = [
  '--config <file>',
  "the daemon's configuration (default: the one used at its last start)",
] as const;

export function addBackup(program: Command, cli: () => Cli): void {
  withExamples(
    program
      .command('backup')
      .argument('<file>', 'the file to write')
      .description('Write the whole state of the daemon into one encrypted file. The daemon may be running.')
      .option(
        '--passphrase-file <file>',
        'read the passphrase from this file or pipe instead of asking for it',
      )
      .option(...configOption)
      .option('--replace', 'replace an earlier backup of this daemon that has the same passphrase')
      .action((file: string, options: BackupOptions) => backup(cli(), file, options)),
    'palyra backup palyra-2026-03-01.age',
    'palyra backup /mnt/usb/palyra.age --passphrase-file /root/backup-passphrase',
  );
  withExamples(
    program
      .command('restore')
      .argument('<file>', 'a backup')
      .description(
        'Replace the state of a stopped daemon with a backup. The previous state is kept beside it.',
      )
      .option(
        '--passphrase-file <file>',
        'read the passphrase from this file or pipe instead of asking for it',
      )
      .option(
        '--identity-file <file>',
        'an age identity file or pipe, for a backup that was made for recipients',
      )
      .option(
        '--config <file>',
        'the configuration that the daemon will start with, instead of the one in the backup',
      )
      .option(
        '--revoked <device>',
        'a device in the backup that was revoked later: its id, or the end of its id; repeat for each device',
        eachOne,
        [],
      )
      .option(
        '--revoked-later <id>',
        'the id of a device that was paired and revoked after the backup; repeat for each device',
        eachOne,
        [],
      )
      .option('--none-revoked', 'no device was revoked after the backup')
      .action((file: string, options: RestoreOptions) => restore(cli(), file, options)),
    'palyra restore palyra-2026-03-01.age',
    'palyra restore palyra.age --none-revoked',
    'palyra restore palyra.age --identity-file /media/usb/key.txt',
  );
  const secrets = program.command('secrets').description("The daemon's secret store.");
  withExamples(secrets, 'palyra secrets rekey');
  withExamples(
    secrets
      .command('rekey')
      .description('Encrypt every secret of the stopped daemon under a new master key.')
      .option(
        '--next <file>',
        'the file with the new passphrase or credential, if the master key comes from one',
      )
      .option(...configOption)
      .action((options: RekeyOptions) => rekey(cli(), options)),
    'palyra secrets rekey',
    'palyra secrets rekey --next /run/credentials/new-passphrase',
  );
  withExamples(
    program
      .command('doctor')
      .description('Check the daemon of this home for problems, and say how to fix them.')
      .option(...configOption)
      .action((options: ConfigOptions) => doctor(cli(), options)),
    'palyra doctor',
    'palyra doctor --config /etc/palyra/config.json',
  );
}

async function backup(cli: Cli, file: string, options: BackupOptions): Promise<void> {
  const { backupHome, checkHome, mustNotExist } = await import('@palyra/daemon/home');
  const { replace = false } = options;
  await checkHome(cli.home.path);
  if (!replace) await mustNotExist(file);
  await access(dirname(file), constants.W_OK).catch(cannotBe('written', file));
  const passphrase = await passphraseOf(cli, options, true);
  const stopProgress = cli.output.progress(() => 'Writing the backup');
  const made = await backupHome(cli.home.path, file, passphrase, {
    replace,
    signal: cli.invocation.interrupted,
    ...configFile(options),
  }).finally(stopProgress);
  cli.output.answer(
    {
      file,
      made_at: made.madeAt.toISOString(),
      daemon_id: made.daemonId,
      devices: made.devices,
      ca_keys: made.caKeys.provider,
    },
    () =>
      `Wrote ${file}: ${made.trustDomain} with ${made.devices} devices. Only the passphrase opens it: keep the file and the passphrase in separate places.${inToken(made.caKeys)}`,
  );
}

const eachOne = (given: string, before: readonly string[]) => [...before, given];

function inToken({ provider, token, serial }: BackupSummary['caKeys']): string {
  if (provider !== 'pkcs11') return '';
  return `\nThe backup does NOT contain the CA keys: they are in the token "${token}" (serial number ${serial}). A restore needs that token, its PIN file and its module.`;
}

async function restore(cli: Cli, file: string, options: RestoreOptions): Promise<void> {
  const revokedLater = options.revokedLater.map(parseDeviceId);
  if (options.noneRevoked && options.revoked.length + revokedLater.length > 0) {
    throw new CliError('USAGE', '--none-revoked contradicts --revoked and --revoked-later: leave one out.');
  }
  const revokedSince = options.noneRevoked ? 'none' : options.revoked;
  if (options.identityFile !== undefined && options.passphraseFile !== undefined)
    throw new CliError('USAGE', 'Give --identity-file or --passphrase-file, not both.');
  await checkReadable(file);
  const { restoreHome } = await import('@palyra/daemon/home');
  const opener = await openerOf(cli, options);
  const stopProgress = cli.output.progress(() => 'Restoring');
  const restored = await restoreHome(cli.home.path, {
    file,
    ...opener,
    ...configFile(options),
    ...(revokedSince.length > 0 && { revokedSince }),
    ...(revokedLater.length > 0 && { revokedLater }),
  }).finally(stopProgress);
  const madeAtMs = restored.madeAt.getTime();
  cli.output.answer(
    {
      made_at: isoTime(madeAtMs),
      daemon_id: restored.daemonId,
      devices: restored.devices,
      revoked_again: restored.revoked,
      replaced: restored.replaced ?? null,
    },
    () =>
      [
        `Restored ${restored.trustDomain} as it was at ${formatTime(madeAtMs, cli.now())}, with ${restored.devices} devices.`,
        `Revoked again: ${restored.revoked.length}${restored.revoked.map((id) => `\n  ${id}`).join('')}`,
        'Devices paired after the backup must pair again.',
        ...(restored.replaced ? [`The previous state is in ${restored.replaced}`] : []),
        `Start it: ${startCommand(cli, options)}`,
      ].join('\n'),
  );
}

/** Reports a wrong file name before anybody types a passphrase. @throws FILE_FAILED */
async function checkReadable(file: string): Promise<void> {
  await access(file, constants.R_OK).catch(cannotBe('read', file));
  if ((await stat(file)).isDirectory())
    throw new CliError('FILE_FAILED', `${file} cannot be read: it is a folder.`);
}

function cannotBe(done: 'read' | 'written', file: string): (cause: Error) => never {
  return (cause) => {
    throw fileFailed(file, done, cause);
  };
}

async function rekey(cli: Cli, { next, config }: RekeyOptions): Promise<void> {
  const { rekeySecrets } = await import('@palyra/daemon/home');
  const stopProgress = cli.output.progress(() => 'Encrypting under the new key');
  try {
    await rekeySecrets(cli.home.path, next, config);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new CliError('USAGE', `${error.message}. Name it: --next FILE`, { cause: error });
  } finally {
    stopProgress();
  }
  cli.output.answer({ rekeyed: true }, () =>
    next
      ? `Every secret is encrypted under the new master key. Set masterKey.path in config.json to ${next}, or replace the old file with it.`
      : 'Every secret is encrypted under a new master key.',
  );
}

async function doctor(cli: Cli, options: ConfigOptions): Promise<void> {
  await report(cli, configFile(options));
}

/** Shows the findings. @throws UNHEALTHY if one of them is a problem. */
export async function report(cli: Cli, options: ExamineOptions): Promise<void> {
  const { examineHome } = await import('@palyra/daemon/home');
  const stopProgress = cli.output.progress(() => 'Looking');
  const findings = await examineHome(cli.home.path, new Date(cli.now()), options).finally(stopProgress);
  const problems = findings.filter(({ verdict }) => verdict === 'problem');
  const marks = { ok: 'ok      ', warning: 'WARNING ', problem: 'PROBLEM ' } as const;
  const told = findings.map(({ check, verdict, message, code, fields }) => {
    const next = code && nextStep(cli, code, fields);
    return { check, verdict, message, ...(code && { code }), ...(next !== undefined && { next_step: next }) };
  });
  cli.output.answer({ ok: problems.length === 0, findings: told }, () =>
    told
      .map(({ check, verdict, message, next_step: next }) =>
        [`${marks[verdict]} ${check}: ${message}`, next].filter(Boolean).join(' '),
      )
      .join('\n'),
  );
  if (problems.length > 0) {
    throw new CliError('UNHEALTHY', `${problems.length} of ${findings.length} checks found a problem.`);
  }
}

/** The option in the form that the daemon's functions take. */
export function configFile({ config }: ConfigOptions): { readonly configFile?: string } {
  return config === undefined ? {} : { configFile: config };
}

/** The command that starts the daemon. Without --config, the daemon uses the configuration of its last start. */
export function startCommand(cli: Cli, { config }: ConfigOptions): string {
  return followUp(cli, config === undefined ? 'daemon' : `daemon --config ${quoted(resolve(config))}`);
}

async function openerOf(cli: Cli, options: RestoreOptions): Promise<BackupOpener> {
  const { identityFile } = options;
  if (identityFile === undefined) return { passphrase: await passphraseOf(cli, options, false) };
  const { readIdentities, withSetting } = await import('@palyra/daemon/home');
  return { identities: await withSetting('--identity-file', () => readIdentities(identityFile)) };
}

async function passphraseOf(cli: Cli, options: PassphraseOptions, twice: boolean): Promise<string> {
  const { passphraseFile } = options;
  if (passphraseFile) {
    const { readPassphrase, withSetting } = await import('@palyra/daemon/home');
    return withSetting('--passphrase-file', () => readPassphrase(passphraseFile, { mayBePipe: true }));
  }
  if (!canAsk(cli))
    throw new CliError(
      'NO_TERMINAL',
      'There is no terminal to ask for the passphrase. Use --passphrase-file FILE',
    );
  const passphrase = await askSecret(cli, 'Passphrase of the backup');
  if (twice && (await askSecret(cli, 'Repeat the passphrase')) !== passphrase) {
    throw new CliError('USAGE', 'The two passphrases differ.');
  }
  return passphrase;
}
