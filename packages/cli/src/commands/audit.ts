// `palyra audit`: shows the audit log and verifies it.

import { IdentityError } from '@palyra/identity';
import { type Command, InvalidArgumentError } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { guessOutcomes } from '../guess-outcome.ts';
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
  const audit = program.command('audit').description('The audit log: every change, in a hash chain.');
  withExamples(audit, 'palyra audit list', 'palyra audit verify');
  withExamples(
    audit
      .command('list')
      .description('Show the audit log, newest first.')
      .option('--limit <count>', `number of rows, at most ${maxLimit}`, parseLimit, 50)
      .option('--subject <id>', 'only rows about this device id, pairing id or serial')
      .action((options: ListOptions) => list(cli(), options)),
    'palyra audit list --limit 10',
    'palyra audit list --subject 01KAT0MZP8C4T7T1JQ5Z7K3QX9 --json',
  );
  withExamples(
    audit
      .command('verify')
      .description(
        'Verify the whole hash chain, and compare the registry with it. Exits with 1 if something other than the daemon changed them.',
      )
      .action(() => verify(cli())),
    'palyra audit verify',
  );
}

async function list(cli: Cli, { limit, subject = '' }: ListOptions): Promise<void> {
  const { entries } = await withAdmin(cli, (admin) => admin.listAudit({ limit, subject }));
  const outcomes = guessOutcomes(entries);
  cli.output.answer(
    {
      entries: entries.map((entry, at) => ({
        seq: Number(entry.seq),
        at: isoTime(entry.atMs),
        action: entry.action,
        subject: entry.subject,
        detail: detailOf(entry.detailJson),
        ...(outcomes[at] && { outcome: outcomes[at] }),
        hash: entry.hash,
      })),
    },
    () => {
      if (entries.length === 0) return 'No rows match.';
      const rows = entries.map((entry, at) => [
        String(entry.seq),
        formatTime(entry.atMs, cli.now()),
        entry.action,
        idIn(cli.output.columns, entry.subject),
        [outcomes[at], detailText(entry.detailJson)].filter((each) => each !== undefined).join(', '),
      ]);
      return table(['ROW', 'TIME', 'ACTION', 'SUBJECT', 'DETAIL'], rows, {
        columns: cli.output.columns,
        keep: ['ROW', 'TIME', 'ACTION'],
        spare: ['SUBJECT'],
      });
    },
  );
}

/** Returns the text unchanged when it is not JSON. */
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
        ? `The ${verdict.rows} rows of the audit chain are intact, but the registry does not match them: ${verdict.problem}. Something other than the daemon changed the registry: compare it with a backup.`
        : `The audit chain is broken at row ${verdict.brokenAt}: ${verdict.problem}. The ${verdict.rows} rows before it are intact. Something other than the daemon changed the registry, or somebody restored it from a copy: compare it with a backup.`,
    );
  }
  cli.output.answer({ ok: true, rows: Number(verdict.rows), head_hash: verdict.headHash }, () =>
    [
      `The audit chain is intact: ${verdict.rows} rows, and the registry matches them.`,
      `The last hash is ${verdict.headHash}.`,
    ].join('\n'),
  );
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (/^[0-9]{1,4}$/.test(text) && limit >= 1 && limit <= maxLimit) return limit;
  throw new InvalidArgumentError(`Give a number from 1 to ${maxLimit}.`);
}
