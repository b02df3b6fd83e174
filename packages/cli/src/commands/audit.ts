// `palyra audit`: shows the audit log and verifies it.

import { IdentityError } from '@palyra/identity';
import { type AuditEntry, auditGuesses } from '@palyra/rpc/admin';
import { type Command, InvalidArgumentError } from 'commander';
import { withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { withExamples } from '../help.ts';
import { idIn } from '../reference.ts';
import { table } from '../table.ts';
import { formatTime, isoTime } from '../time.ts';

const maxLimit = 100_000;
/** Rows of one call. */
const pageRows = 1000;

interface ListOptions {
  readonly limit: number;
  readonly subject?: string;
  readonly family?: string;
  readonly before: number;
}

export function addAudit(program: Command, cli: () => Cli): void {
  const audit = program.command('audit').description('The audit log: every change, in a hash chain.');
  withExamples(audit, 'palyra audit list', 'palyra audit verify');
  withExamples(
    audit
      .command('list')
      .description('Show the audit log, newest first.')
      .option('--limit <count>', `number of rows, at most ${maxLimit}`, parseLimit, 50)
      .option(
        '--subject <id>',
        'only rows about this device with its certificates and pairings, or about this pairing or serial',
      )
      .option('--family <word>', 'only actions that begin with this word: device, certificate, code')
      .option('--before <row>', 'only rows before this one, for the next page', parseRow, 0)
      .action((options: ListOptions) => list(cli(), options)),
    'palyra audit list --limit 10',
    'palyra audit list --family certificate --before 1200',
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

async function list(cli: Cli, { limit, before, subject = '', family = '' }: ListOptions): Promise<void> {
  const entries = await withAdmin(cli, async (admin) => {
    const found: AuditEntry[] = [];
    for (let from = BigInt(before); ; ) {
      const rows = Math.min(limit - found.length, pageRows);
      const page = await admin.listAudit({ limit: rows, subject, family, before: from });
      for (const entry of page.entries) found.push(entry);
      const last = page.entries.at(-1);
      if (!last || page.entries.length < rows || found.length >= limit) return found;
      // Without this check, a daemon whose pages do not move backwards would be asked for ever.
      if (from > 0n && last.seq >= from) return found;
      from = last.seq;
    }
  });
  cli.output.answer(
    {
      entries: entries.map((entry) => ({
        seq: Number(entry.seq),
        at: isoTime(entry.atMs),
        action: entry.action,
        subject: entry.subject,
        detail: detailOf(entry.detailJson),
        ...(guessOf(entry) && { outcome: guessOf(entry) }),
        ...(entry.deviceId && { device_id: entry.deviceId, device_name: entry.deviceName }),
        ...(entry.byName && { by_name: entry.byName }),
        hash: entry.hash,
      })),
    },
    () => {
      if (entries.length === 0) return 'No rows match.';
      const rows = entries.map((entry) => [
        String(entry.seq),
        formatTime(entry.atMs, cli.now()),
        entry.action,
        entry.deviceName,
        idIn(cli.output.columns, entry.subject),
        [guessOf(entry), detailText(entry)].filter((each) => each).join(', '),
      ]);
      const shown = table(['ROW', 'TIME', 'ACTION', 'DEVICE', 'SUBJECT', 'DETAIL'], rows, {
        columns: cli.output.columns,
        keep: ['ROW', 'TIME', 'ACTION'],
        spare: ['SUBJECT', 'DEVICE'],
      });
      const last = entries.at(-1)!.seq;
      return entries.length < limit || last <= 1n
        ? shown
        : `${shown}\n\nOlder rows: ${followUp(cli, `audit list --before ${last}${subject && ` --subject ${subject}`}${family && ` --family ${family}`}`)}`;
    },
  );
}

const guessOf = ({ guess }: AuditEntry) => auditGuesses.fromWire(guess);

/** Returns the text unchanged when it is not JSON. */
function detailOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

/** With the name of the device that did it, in place of its id. */
function detailText({ detailJson, byName }: AuditEntry): string {
  const detail = detailOf(detailJson);
  if (typeof detail !== 'object' || detail === null) return String(detail);
  return Object.entries(detail)
    .map(([name, value]) => `${name}: ${name === 'by' && byName ? byName : value}`)
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

function parseRow(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give the number of a row.');
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (/^[0-9]{1,6}$/.test(text) && limit >= 1 && limit <= maxLimit) return limit;
  throw new InvalidArgumentError(`Give a number from 1 to ${maxLimit}.`);
}
