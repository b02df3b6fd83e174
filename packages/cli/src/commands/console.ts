// `palyra console`: opens the operator's web page with a login link that works once.

import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { IdentityError } from '@palyra/identity';
import type { Command } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { fileFailed } from '../failure.ts';
import { withExamples } from '../help.ts';
import { formatSpan, isoTime } from '../time.ts';

export function addConsole(program: Command, cli: () => Cli): void {
  withExamples(
    program
      .command('console')
      .summary('Open the web console.')
      .description(
        'Create a link that logs one browser in to the web console. The link works once, within two minutes.\n\nThe console is reachable from this machine only. From another machine, forward its port first: ssh -L 7445:127.0.0.1:7445 HOST',
      )
      .option('--open', 'open the link in the browser of this machine')
      .action((options: { open?: boolean }) => open(cli(), options)),
    'palyra console',
    'palyra console --open',
  );
}

async function open(cli: Cli, options: { open?: boolean }): Promise<void> {
  const { url, expiresAtMs } = await withAdmin(cli, (admin) => admin.createConsoleLogin({}));
  if (options.open) await openInBrowser(cli, url);
  cli.output.answer({ url, expires_at: isoTime(expiresAtMs) }, () =>
    [
      options.open ? 'Opening the console in your browser. If nothing appears, open:' : 'Open the console:',
      '',
      `  ${cli.output.paint('bold', url)}`,
      '',
      `The link works once, within ${formatSpan(Number(expiresAtMs) - cli.now())}. Do not share it.`,
    ].join('\n'),
  );
}

/** Passes the link in a private file, because every user of the machine can read command lines. */
async function openInBrowser(cli: Cli, link: string): Promise<void> {
  // The URL is serialised again because it goes into a page: that escapes quotes and brackets.
  const url = URL.parse(link);
  if (url?.protocol !== 'http:')
    throw new IdentityError('MESSAGE_INVALID', 'The daemon answered with a link that cannot be opened.');
  const file = join(cli.home.path, 'console.html');
  const page = `<!doctype html><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url=${url.href.replaceAll('"', '%22').replaceAll("'", '%27')}">`;
  try {
    await writeFile(file, page, { mode: 0o600 });
  } catch (cause) {
    throw fileFailed(file, 'written', cause);
  }
  const opener = cli.invocation.platform.startsWith('darwin') ? 'open' : 'xdg-open';
  const child = spawn(opener, [pathToFileURL(file).href], { stdio: 'ignore', detached: true });
  // Without a browser, the person can still use the link.
  child.on('error', () => {});
  child.unref();
}
