// `palyra ca`: the daemon's certificate authority.

import { writeFile } from 'node:fs/promises';
import { certificatesToPem, revocationListsToPem, spiffeBundle } from '@palyra/identity/certificate';
import type { RootRotationStatus, SetAsideCost } from '@palyra/identity/registry';
import { collectRevocationLists } from '@palyra/rpc';
import {
  Authority_Tier,
  AuthorityState,
  authorityStates,
  authorityTiers,
  KeyPlace_Provider,
  keyProviders,
  type RotationStep,
  rotationPhases,
  rotationSteps,
} from '@palyra/rpc/admin';
import { Argument, type Command, Option } from 'commander';
import { withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { CliError, fileFailed } from '../failure.ts';
import { withExamples } from '../help.ts';
import { askYes, canAsk } from '../question.ts';
import { fields } from '../table.ts';
import { formatTime, isoTime } from '../time.ts';
import { type ConfigOptions, configFile, configOption, startCommand } from './backup.ts';

export function addCa(program: Command, cli: () => Cli): void {
  const ca = program.command('ca').description("The daemon's certificate authority.");
  withExamples(ca, 'palyra ca show');
  withExamples(
    ca
      .command('show')
      .alias('status')
      .description('Show the root and issuing certificates, and when they are replaced.')
      .action(() => show(cli())),
    'palyra ca show',
  );
  withExamples(
    ca
      .command('export')
      .description('Write the root certificates as PEM, for other programs to trust.')
      .option('--out <file>', 'write to this file instead of stdout')
      .addOption(
        new Option('--format <which>', 'pem, or a SPIFFE trust bundle (JWKS)')
          .choices(['pem', 'spiffe'])
          .default('pem'),
      )
      .action((options: { out?: string; format: 'pem' | 'spiffe' }) => exportRoots(cli(), options)),
    'palyra ca export > root.pem',
    'palyra ca export --out root.pem',
    'palyra ca export --format spiffe',
  );
  withExamples(
    ca
      .command('crl')
      .description('Write the revocation lists as PEM, for programs that verify devices themselves.')
      .option('--out <file>', 'write to this file instead of stdout')
      .action((options: { out?: string }) => revocationLists(cli(), options)),
    'palyra ca crl --out /etc/nginx/palyra-crl.pem',
  );
  withExamples(
    ca
      .command('set-aside')
      .description(
        'Set aside the authorities that a wrong clock created, in the home of a stopped daemon. Shows the consequences and asks first.',
      )
      .option('--yes', 'do not ask')
      .option(...configOption)
      .action((options: SetAsideOptions) => setAside(cli(), options)),
    'palyra ca set-aside',
  );
  withExamples(
    ca
      .command('rotate-root')
      .addArgument(new Argument('<step>', 'the step to take').choices(steps))
      .description('Move to a new root certificate, step by step, without losing a device.')
      .option('--force', 'continue even if devices would be lost')
      .action((step: Step, options: { force?: boolean }) => rotateRoot(cli(), step, options)),
    'palyra ca rotate-root status',
    'palyra ca rotate-root prepare',
  );
}

interface SetAsideOptions extends ConfigOptions {
  readonly yes?: boolean;
}

async function setAside(cli: Cli, { yes = false, ...options }: SetAsideOptions): Promise<void> {
  const { setAside: setAsideIn } = await import('@palyra/daemon/home');
  const gone = await setAsideIn(cli.home.path, {
    ...configFile(options),
    agree: async (cost) => {
      const what = costOf(cost, cli.now());
      if (yes) return;
      if (!canAsk(cli)) {
        throw new CliError(
          'NO_TERMINAL',
          `${what}\nNothing was changed. If the clock is right, confirm with --yes.`,
        );
      }
      cli.output.note(what);
      await askYes(cli, 'Is the clock right? Set these aside?');
    },
  });
  cli.output.answer(
    {
      set_aside: (gone?.authorities ?? []).map(({ id, tier, notBefore, notAfter }) => ({
        id,
        tier,
        not_before: notBefore.toISOString(),
        not_after: notAfter.toISOString(),
      })),
      root: gone?.root ?? 'kept',
    },
    () =>
      gone
        ? `${costOf(gone, cli.now())}\nDone. Start it: ${startCommand(cli, options)}`
        : `By this machine's clock, ${new Date(cli.now()).toISOString()}, no authority is wrong. Nothing was changed.`,
  );
}

/** Printed before the change, as a warning, and after it. */
function costOf({ authorities, root, devices }: SetAsideCost, nowMs: number): string {
  const lines = authorities.map(
    ({ tier, fingerprint, notBefore, notAfter }) =>
      `${tier === 'root' ? 'Root' : 'Issuing CA'} ${fingerprint.slice(0, 16)}, valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
  );
  return [
    `This machine's clock says ${new Date(nowMs).toISOString()}. These authorities are not valid at that time:`,
    ...lines.map((line) => `  ${line}`),
    'Setting them aside ends them and every certificate that they issued. It cannot be undone.',
    costs[root](devices),
  ].join('\n');
}

const costs: Readonly<Record<SetAsideCost['root'], (devices: number) => string>> = {
  new: (devices) =>
    `A new root replaces them. EVERY DEVICE MUST PAIR AGAIN: there ${devices === 1 ? 'is 1' : `are ${devices}`}. Ids, names, roles and the audit log are kept.`,
  other: (devices) =>
    `The other root of the rotation replaces them. There ${devices === 1 ? 'is 1 device' : `are ${devices} devices`}: each one that does not know that root yet must pair again.`,
  kept: () =>
    'The root is kept, and no device must pair again. A device whose certificate they issued needs a new one: an agent gets it by itself, other devices with palyra renew --recover.',
};

type Step = 'status' | RotationStep;
const steps: readonly Step[] = ['status', ...rotationSteps.words];

async function revocationLists(cli: Cli, { out }: { out?: string }): Promise<void> {
  const all = await withAdmin(cli, (admin) => collectRevocationLists(admin.getRevocationLists({})));
  const lists = all.filter(({ der }) => der.length > 0);
  for (const { issuerId, failure, der } of all) {
    if (!failure) continue;
    const shown = der.length > 0 ? 'an older list' : 'no list';
    cli.output.note(`Authority ${issuerId} has ${shown}: ${failure}`);
  }
  const pem = revocationListsToPem(lists);
  if (out) await writeOut(out, pem);
  const text = out ? '' : [...pem].join('');
  cli.output.answer(
    {
      lists: lists.map((each) => ({
        issuer_id: each.issuerId,
        number: each.number,
        next_update: isoTime(each.nextUpdateMs),
      })),
      failures: all
        .filter(({ failure }) => failure)
        .map(({ issuerId, failure }) => ({ issuer_id: issuerId, message: failure })),
      ...(out ? { out } : { pem: text }),
    },
    () =>
      out
        ? `Wrote ${lists.length} revocation list${lists.length === 1 ? '' : 's'} to ${out}.`
        : text.trimEnd(),
  );
}

async function rotateRoot(cli: Cli, step: Step, { force = false }: { force?: boolean }): Promise<void> {
  const { sinceMs, behind, ...rotation } = await withAdmin(cli, (admin) =>
    step === 'status'
      ? admin.getRootRotation({})
      : admin.rotateRoot({ step: rotationSteps.toWire(step), force }),
  );
  const phase = rotationPhases.show(rotation.phase);
  cli.output.answer(
    { step, phase, since: isoTime(sinceMs), behind: behind.map(({ id, name }) => ({ id, name })) },
    () => (phase === 'none' && endings[step]) || rotationWords(cli, phase, behind, step),
  );
}

type Phase = RootRotationStatus['phase'] | 'unknown';

export function rotationWords(
  cli: Cli,
  phase: Phase,
  behind: readonly { readonly id: string; readonly name: string }[],
  step: Step = 'status',
): string {
  const lines = [step === 'rollback' && phase === 'activated' ? rolledBack : rotationAnswers[phase]];
  const next = nextSteps[phase];
  if (behind.length > 0) {
    lines.push('', 'The next step would lose these devices, which have not renewed since the last one:');
    for (const { id, name } of behind) lines.push(`  ${id}  ${name}`);
    lines.push(
      'Wait until they renew by themselves, or run on each device: palyra renew',
      `Then check again: ${followUp(cli, 'ca rotate-root status')}`,
    );
  } else if (next) {
    lines.push(
      '',
      'Every device is ready for the next step.',
      `Next: ${followUp(cli, `ca rotate-root ${next}`)}`,
    );
  }
  return lines.join('\n');
}

/** The messages for the steps that end a rotation. */
const endings: Readonly<Partial<Record<Step, string>>> = {
  finish: 'The rotation is finished. The old root is retired, and only the new root is trusted.',
  rollback: 'The rotation is undone. The previous root signs, and the new root is retired.',
};

/** After the new root had signed, it keeps its certificates valid until the rotation is finished. */
const rolledBack =
  'The rotation is rolled back: the previous root signs again. Certificates under the newer root stay valid until the rotation is finished.';

const nextSteps: Readonly<Partial<Record<Phase, RotationStep>>> = {
  prepared: 'activate',
  activated: 'finish',
};

const rotationAnswers: Readonly<Record<Phase, string>> = {
  none: 'No root rotation is in progress.',
  prepared:
    'A new root is prepared. Devices start to trust it when they renew. The current root still signs.',
  // Also true after a rollback, which makes the previous root the active one.
  activated:
    'The active root has changed. Certificates under the other root stay valid until the rotation is finished.',
  unknown: 'The root rotation is in a phase that this version does not know.',
};

async function show(cli: Cli): Promise<void> {
  const { authorities, keys } = await withAdmin(cli, (admin) => admin.getAuthority({}));
  const { token = '', serial = '' } = keys ?? {};
  const provider = keyProviders.show(keys?.provider ?? KeyPlace_Provider.UNSPECIFIED);
  cli.output.answer(
    {
      keys: { provider, ...(provider === 'pkcs11' && { token, serial }) },
      authorities: authorities.map((each) => ({
        id: each.id,
        tier: authorityTiers.show(each.tier),
        active: each.active,
        state: authorityStates.show(each.state),
        replaced_at: isoTime(each.replacedAtMs),
        fingerprint: each.fingerprint,
        serial: each.serial,
        not_before: isoTime(each.notBeforeMs),
        not_after: isoTime(each.notAfterMs),
        key: each.keyName,
      })),
    },
    () =>
      authorities
        .map((each) => {
          const title = `${each.tier === Authority_Tier.ROOT ? 'Root' : 'Issuing CA'}${each.active ? '' : `, ${authorityStates.show(each.state)}`}`;
          const about = fields([
            ['SHA-256', each.fingerprint],
            ['serial', each.serial],
            ['from', formatTime(each.notBeforeMs, 0)],
            ['until', formatTime(each.notAfterMs, 0)],
            [
              'key',
              provider === 'pkcs11'
                ? `${each.keyName} in the token "${token}" (serial number ${serial})`
                : 'in the secret store',
            ],
            ...(each.replacedAtMs > 0n
              ? [['replaced', `${formatTime(each.replacedAtMs, 0)}, by itself`] as const]
              : []),
          ]);
          return `${cli.output.paint('bold', title)}\n${about}`;
        })
        .join('\n\n'),
  );
}

async function exportRoots(
  cli: Cli,
  { out, format }: { out?: string; format: 'pem' | 'spiffe' },
): Promise<void> {
  const { authorities, bundleSequence } = await withAdmin(cli, (admin) => admin.getAuthority({}));
  const roots = authorities.filter(
    (each) => each.tier === Authority_Tier.ROOT && each.state !== AuthorityState.RETIRED,
  );
  const certificates = roots.map((each) => each.certificate);
  const text =
    format === 'pem'
      ? certificatesToPem(certificates)
      : `${JSON.stringify(spiffeBundle(certificates, Number(bundleSequence)), null, 2)}\n`;
  const fingerprints = roots.map((each) => each.fingerprint);
  if (out === undefined) {
    cli.output.answer({ fingerprints, [format]: text }, () => text.trimEnd());
    return;
  }
  await writeOut(out, text);
  cli.output.answer({ fingerprints, out }, () => `Wrote ${out}. SHA-256 ${fingerprints.join(', ')}`);
}

/** @throws FILE_FAILED */
async function writeOut(file: string, text: string | Iterable<string>): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    throw fileFailed(file, 'written', cause);
  }
}
