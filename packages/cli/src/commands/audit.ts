// `palyra audit`: what happened, and whether the record of it is whole.

import { IdentityError } from '@palyra/identity';
import { type Command, InvalidArgumentError } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { withExamples } from '../help.ts';
import { idIn } from '../reference.ts';
import { table } from '../table.ts';
import { formatTime, isoTime } from '../time.ts';

const maxLimit = 1000;

interface ListOptions {
  readonly limit: number;
  readonly subject?: string;
}

export function addAudit(program: Command, cli: () => Cli): void {
  const audit = program.command('audit').description('The audit log: every change, chained by hashes.');
  withExamples(audit, 'palyra audit list', 'palyra audit verify');
  withExamples(
    audit
      .command('list')
      .description('Show what happened, newest first.')
      .option('--limit <count>', `how many rows, at most ${maxLimit}`, parseLimit, 50)
      .option('--subject <id>', 'only about this device id, pairing id or serial')
      .action((options: ListOptions) => list(cli(), options)),
    'palyra audit list --limit 10',
    'palyra audit list --subject 01KAT0MZP8C4T7T1JQ5Z7K3QX9 --json',
  );
  withExamples(
    audit
      .command('verify')
      .description(
        'Check the whole chain, and that the registry is as it says. Exits with 1 when something was changed from outside.',
      )
      .action(() => verify(cli())),
    'palyra audit verify',
  );
}

async function list(cli: Cli, { limit, subject = '' }: ListOptions): Promise<void> {
  const { entries } = await withAdmin(cli, (admin) => admin.listAudit({ limit, subject }));
  cli.output.answer(
    {
      entries: entries.map((entry) => ({
        seq: Number(entry.seq),
        at: isoTime(entry.atMs),
        action: entry.action,
        subject: entry.subject,
        detail: detailOf(entry.detailJson),
        hash: entry.hash,
      })),
    },
    () => {
      if (entries.length === 0) return 'There is no such row.';
      const rows = entries.map((entry) => [
        String(entry.seq),
        formatTime(entry.atMs, cli.now()),
        entry.action,
        idIn(cli.output.columns, entry.subject),
        detailText(entry.detailJson),
      ]);
      return table(['ROW', 'TIME', 'ACTION', 'SUBJECT', 'DETAIL'], rows, {
        columns: cli.output.columns,
        keep: ['ROW', 'TIME', 'ACTION'],
        spare: ['SUBJECT'],
      });
    },
  );
}

/** As it came where it is no JSON. */
function detailOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

function detailText(json: string): string {
  const detail = detailOf(json);
  if (typeof detail !== 'object' || detail === null) return String(detail);
  return Object.entries(detail)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ');
}

async function verify(cli: Cli): Promise<void> {
  const verdict = await withAdmin(cli, (admin) => admin.verifyAudit({}));
  if (!verdict.ok) {
    throw new IdentityError(
      'AUDIT_BROKEN',
      verdict.brokenAt === 0n
        ? `The audit chain holds, ${verdict.rows} rows, but the registry is not as they say: ${verdict.problem}. Somebody changed it behind the daemon's back: compare with a backup.`
        : `The audit chain is broken at row ${verdict.brokenAt}: ${verdict.problem}. The ${verdict.rows} rows before it hold. Somebody changed the registry behind the daemon's back, or it was restored from a backup: compare with one.`,
    );
  }
  cli.output.answer({ ok: true, rows: Number(verdict.rows), head_hash: verdict.headHash }, () =>
    [
      `The audit chain holds: ${verdict.rows} rows, and the registry is as they say.`,
      `Its last hash is ${verdict.headHash}.`,
    ].join('\n'),
  );
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (/^[0-9]{1,4}$/.test(text) && limit >= 1 && limit <= maxLimit) return limit;
  throw new InvalidArgumentError(`Give a number from 1 to ${maxLimit}.`);
}
