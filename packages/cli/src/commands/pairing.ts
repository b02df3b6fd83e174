// `palyra pairing`: the operator's side of pairing: make a code, see the requests, decide.

import { Continuity, DeviceRole, PairingState } from '@palyra/rpc/admin';
import type { Command } from 'commander';
import { type Admin, type Pairing, withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { operatorWords } from '../device-view.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { quoted } from '../home.ts';
import { autoApproveWords, pairingDetails, pairingJson, pairingTable } from '../pairing-view.ts';
import { qrCode } from '../qr.ts';
import { askYes, canAsk } from '../question.ts';
import { resolveId, shortId } from '../reference.ts';
import { box } from '../table.ts';
import { formatSpan, formatTime, isoTime, parseSpan } from '../time.ts';
import { devicesNamed, noteSameName } from './device-lookup.ts';
import { watch } from './pairing-watch.ts';

/** Largest number of pairings searched and shown, which is also the daemon's largest page. */
const page = 1000;

export function addPairing(program: Command, cli: () => Cli): void {
  const pairing = program
    .command('pairing')
    .description('The operator side of pairing: make a code, see the requests, decide.');
  withExamples(pairing, 'palyra pairing code', 'palyra pairing list', 'palyra pairing approve');

  withExamples(
    pairing
      .command('code')
      .description('Make a pairing code. One device can use it, with up to three guesses.')
      .option('--qr', 'show a QR code instead of nine digits')
      .option('--life <time>', 'how long the code is valid: 90s, 10m, 2h (default: 10m)', parseSpan)
      .option('--auto-approve', 'approve the device that uses the code WITHOUT ASKING')
      .action((options: CodeOptions) => code(cli(), options)),
    'palyra pairing code',
    'palyra pairing code --auto-approve --life 2m',
    'palyra pairing code --qr --life 2m',
    'palyra pairing code --qr > uri.txt',
    'palyra pairing code --json',
  );
  withExamples(
    pairing
      .command('list')
      .description('Show the open codes and requests.')
      .option('--all', 'also show those that have ended')
      .action((options: { all?: boolean }) => list(cli(), options)),
    'palyra pairing list',
    'palyra pairing list --all --json',
  );
  withExamples(
    pairing
      .command('show')
      .argument('<pairing>', 'the pairing: its id, or enough of the beginning or end of the id')
      .description('Show everything about one pairing.')
      .action((id: string) => show(cli(), id)),
    'palyra pairing show 7K3QX9AB',
  );
  withExamples(
    pairing
      .command('approve')
      .argument('[request]', 'the request. Without it, the only waiting request is shown, and you are asked')
      .description(
        'Approve a device. First compare its words with those on the device. A request that you name is approved without another question. A decision cannot be changed.',
      )
      .option('--replace-key', 'accept another identity key for a known device id')
      .option('--operator', 'approve the device as an OPERATOR, which can use --remote to run these commands')
      .option('--name <name>', 'your own name for the device')
      .option(
        '--host-name <name>',
        'a DNS name for its certificates, for clients that check names; repeatable',
        (name: string, before: string[] = []) => [...before, name],
      )
      .action((id: string | undefined, options: ApproveOptions) => approve(cli(), id, options)),
    'palyra pairing approve',
    'palyra pairing approve 7K3QX9AB --name "kitchen sensor"',
    'palyra pairing approve 7K3QX9AB --operator',
    'palyra pairing approve 7K3QX9AB --host-name nas.example.net',
  );
  withExamples(
    pairing
      .command('reject')
      .argument('<pairing>', 'the request to reject, or the code to withdraw')
      .description('Reject a device, or withdraw a code. A decision cannot be changed.')
      .option('--reason <text>', 'recorded, and sent to the device', '')
      .action((id: string, options: { reason: string }) => reject(cli(), id, options)),
    'palyra pairing reject 7K3QX9AB --reason "not mine"',
  );
  withExamples(
    pairing
      .command('watch')
      .summary('Watch requests as they arrive, and decide.')
      .description(
        'Watch requests as they arrive, and decide. On a terminal this is a screen: up and down select, a approves, r rejects, ? shows help, q quits. Elsewhere, and with --json, it prints a line for each change until Ctrl-C.',
      )
      .action(() => watch(cli())),
    'palyra pairing watch',
    'palyra pairing watch --json',
  );
}

interface CodeOptions {
  readonly qr?: boolean;
  /** ms */
  readonly life?: number;
  readonly autoApprove?: boolean;
}

async function code(cli: Cli, { qr = false, life = 0, autoApprove = false }: CodeOptions): Promise<void> {
  const minted = await withAdmin(cli, (admin) =>
    admin.mintCode({ qr, lifeSeconds: Math.ceil(life / 1000), autoApprove }),
  );
  const { output } = cli;
  output.answer(
    {
      pairing_id: minted.pairingId,
      code: minted.code,
      kind: qr ? 'qr' : 'typed',
      auto_approve: autoApprove,
      expires_at: isoTime(minted.expiresAtMs),
      address: minted.address,
    },
    () => {
      const now = cli.now();
      const until = `Valid until ${formatTime(minted.expiresAtMs, now)} (${formatSpan(Number(minted.expiresAtMs) - now)}), for one device.${autoApprove ? `\n${output.paint('yellow', `! ${autoApproveWords}.`)}` : ''}`;
      if (!qr) {
        const onDevice = `${cli.invocation.program} pair ${minted.address}`;
        return `\n${output.paint('bold', box(minted.code))}\n\n${until}\nOn the device: ${onDevice}`;
      }
      // `palyra pairing code --qr > FILE` is what `palyra pair --qr FILE` reads.
      if (!output.isTerminal) return minted.code;
      const picture = qrCode(minted.code, output);
      const shown = picture ?? 'This terminal cannot show the QR code: it is too narrow, or shows no blocks.';
      return `${shown}\n\n${minted.code}\n\n${until}\nOn the device, with that line in a file: ${cli.invocation.program} pair --qr FILE`;
    },
  );
}

async function list(cli: Cli, { all = false }: { all?: boolean }): Promise<void> {
  const { pairings } = await withAdmin(cli, (admin) => admin.listPairings({ openOnly: !all, limit: page }));
  cli.output.answer({ pairings: pairings.map(pairingJson) }, () => {
    if (pairings.length === 0) {
      return all
        ? 'There are no pairings yet.'
        : `There are no open codes or requests. Make a code: ${followUp(cli, 'pairing code')}`;
    }
    const waiting = pairings.some(isRequest);
    const next = waiting ? `\n\nTo decide: ${followUp(cli, 'pairing approve ID')} (or reject ID)` : '';
    return pairingTable(cli, pairings) + next;
  });
}

async function show(cli: Cli, reference: string): Promise<void> {
  const pairing = await withAdmin(cli, async (admin) =>
    admin.getPairing({ id: await resolvePairing(cli, admin, reference) }),
  );
  cli.output.answer(pairingJson(pairing), () => pairingDetails(cli, pairing));
}

interface ApproveOptions {
  readonly replaceKey?: boolean;
  readonly operator?: boolean;
  readonly name?: string;
  readonly hostName?: readonly string[];
}

async function approve(cli: Cli, reference: string | undefined, options: ApproveOptions): Promise<void> {
  const choice =
    reference === undefined
      ? await askAboutTheOnlyRequest(cli, options)
      : { id: reference, replaceIdentityKey: options.replaceKey === true };
  const { pairing, name, named } = await withAdmin(cli, async (admin) => {
    const pairing = await admin.approvePairing({
      ...choice,
      id: await resolvePairing(cli, admin, choice.id),
      name: options.name ?? '',
      operator: options.operator === true,
      hostNames: [...(options.hostName ?? [])],
    });
    const name = options.name ?? pairing.device?.name ?? '';
    return { pairing, name, named: await devicesNamed(admin, name) };
  });
  cli.output.answer(pairingJson(pairing), () =>
    [
      `Approved: ${name}. The device now fetches its certificate.`,
      `Its id is ${pairing.device?.deviceId}.`,
      ...(pairing.device?.role === DeviceRole.OPERATOR
        ? [cli.output.paint('yellow', `! ${operatorWords}.`)]
        : []),
    ].join('\n'),
  );
  noteSameName(cli, name, pairing.device?.deviceId ?? '', named);
}

async function askAboutTheOnlyRequest(
  cli: Cli,
  options: ApproveOptions,
): Promise<{ id: string; replaceIdentityKey: boolean; seen: { words: string; role: DeviceRole } }> {
  const { pairings } = await withAdmin(cli, (admin) => admin.listPairings({ openOnly: true, limit: page }));
  const requests = pairings.filter(isRequest);
  const [request] = requests;
  if (!request) {
    throw new CliError(
      'PAIRING_NOT_FOUND',
      `No device is waiting for a decision. Make a code: ${followUp(cli, 'pairing code')}`,
    );
  }
  if (requests.length > 1) {
    cli.output.note(pairingTable(cli, requests));
    throw new CliError(
      'USAGE',
      `${requests.length} devices are waiting. Name one: ${followUp(cli, 'pairing approve ID')}`,
    );
  }
  const { id } = request;
  if (!canAsk(cli)) {
    throw new CliError(
      'NO_TERMINAL',
      `There is no terminal to ask for confirmation. Compare the words yourself, then run: ${followUp(cli, approval(id, options))}`,
    );
  }
  cli.output.note(`${pairingDetails(cli, request)}\n`);
  await askYes(cli, `Does the device show the same words? Approve "${request.device?.name ?? ''}"?`);
  const anotherKey = request.device?.continuity === Continuity.ANOTHER_KEY;
  if (anotherKey && !options.replaceKey) {
    await askYes(
      cli,
      'The device has ANOTHER identity key. Replace the old key, and end everything issued to it?',
    );
  }
  if (options.operator) {
    cli.output.note(cli.output.paint('yellow', `! ${operatorWords}.`));
    await askYes(cli, 'Approve it as an OPERATOR?');
  }
  const { words = '', role = DeviceRole.UNSPECIFIED } = request.device ?? {};
  return { id, replaceIdentityKey: anotherKey, seen: { words, role } };
}

/** This approve command, with the request named. */
function approval(id: string, { replaceKey, operator, name, hostName = [] }: ApproveOptions): string {
  return [
    `pairing approve ${shortId(id)}`,
    ...(replaceKey ? ['--replace-key'] : []),
    ...(operator ? ['--operator'] : []),
    ...(name === undefined ? [] : [`--name ${quoted(name)}`]),
    ...hostName.map((each) => `--host-name ${quoted(each)}`),
  ].join(' ');
}

async function reject(cli: Cli, reference: string, { reason }: { reason: string }): Promise<void> {
  const pairing = await withAdmin(cli, async (admin) =>
    admin.rejectPairing({ id: await resolvePairing(cli, admin, reference), reason }),
  );
  cli.output.answer(pairingJson(pairing), () =>
    pairing.device
      ? `Rejected: ${pairing.device.name}.`
      : `The code ${pairing.slot || 'in the QR code'} is withdrawn.`,
  );
}

function isRequest(pairing: Pairing): boolean {
  return pairing.state === PairingState.PENDING_APPROVAL;
}

function resolvePairing(cli: Cli, admin: Admin, reference: string): Promise<string> {
  return resolveId(reference, {
    noun: 'pairing',
    notFound: 'PAIRING_NOT_FOUND',
    list: followUp(cli, 'pairing list --all'),
    ids: async () => (await admin.listPairings({ limit: page })).pairings.map((each) => each.id),
  });
}
