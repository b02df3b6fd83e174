// `palyra ca`: the daemon's certificate authority.

import { writeFile } from 'node:fs/promises';
import { certificatesToPem } from '@palyra/identity';
import type { Command } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { fields } from '../table.ts';
import { formatTime, isoTime } from '../time.ts';

export function addCa(program: Command, cli: () => Cli): void {
  const ca = program.command('ca').description("The daemon's certificate authority.");
  withExamples(ca, 'palyra ca show');
  withExamples(
    ca
      .command('show')
      .description('Show root and issuing certificates.')
      .action(() => show(cli())),
    'palyra ca show',
  );
  withExamples(
    ca
      .command('export')
      .description('Write the root certificates as PEM, for other programs to trust.')
      .option('--out <file>', 'a file instead of stdout')
      .action((options: { out?: string }) => exportRoots(cli(), options)),
    'palyra ca export > root.pem',
    'palyra ca export --out root.pem',
  );
}

async function show(cli: Cli): Promise<void> {
  const { authorities } = await withAdmin(cli, (admin) => admin.getAuthority({}));
  cli.output.answer(
    {
      authorities: authorities.map((each) => ({
        id: each.id,
        tier: each.tier,
        active: each.active,
        fingerprint: each.fingerprint,
        serial: each.serial,
        not_before: isoTime(each.notBeforeMs),
        not_after: isoTime(each.notAfterMs),
      })),
    },
    () =>
      authorities
        .map((each) => {
          const title = `${each.tier === 'root' ? 'Root' : 'Issuing CA'}${each.active ? '' : ', retired'}`;
          const about = fields([
            ['SHA-256', each.fingerprint],
            ['serial', each.serial],
            ['from', formatTime(each.notBeforeMs, 0)],
            ['until', formatTime(each.notAfterMs, 0)],
          ]);
          return `${cli.output.paint('bold', title)}\n${about}`;
        })
        .join('\n\n'),
  );
}

async function exportRoots(cli: Cli, { out }: { out?: string }): Promise<void> {
  const { authorities } = await withAdmin(cli, (admin) => admin.getAuthority({}));
  // A retired root stays trusted until it ends: devices may still hold what it vouches for.
  const roots = authorities.filter((each) => each.tier === 'root' && Number(each.notAfterMs) > cli.now());
  const pem = certificatesToPem(roots.map((each) => each.certificate)).trimEnd();
  const fingerprints = roots.map((each) => each.fingerprint);
  if (out === undefined) {
    cli.output.answer({ fingerprints, pem: `${pem}\n` }, () => pem);
    return;
  }
  try {
    await writeFile(out, `${pem}\n`);
  } catch (cause) {
    throw new CliError('FILE_FAILED', `${out} cannot be written: ${(cause as Error).message}.`, { cause });
  }
  cli.output.answer({ fingerprints, out }, () => `Wrote ${out}. SHA-256 ${fingerprints.join(', ')}`);
}
