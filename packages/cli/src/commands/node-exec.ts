// `palyra node exec`: runs a capability on a connected device, for the operator.

import { IdentityError } from '@palyra/identity';
import { type Command, Option } from 'commander';
import { withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { printable, printableLines } from '../printable.ts';
import { parseSpan } from '../time.ts';
import { resolveDevice } from './device-lookup.ts';

interface ExecOptions {
  readonly input: string;
  /** ms */
  readonly timeout: number;
}

export function addNodeExec(node: Command, cli: () => Cli): void {
  const command = node.command('exec');
  withExamples(
    command
      .argument('<device>', 'the device: its name, its id, or enough of the beginning or end of the id')
      .argument('<capability>', 'for example system.info')
      .description('Run a capability on a connected device, and show its output.')
      .option('--input <json>', 'the input of the capability', 'null')
      .addOption(
        new Option('--timeout <time>', 'give up after this time').argParser(parseSpan).default(30_000, '30s'),
      )
      .allowExcessArguments()
      .action((device: string, capability: string, options: ExecOptions) => {
        if (command.args.length > 2) throw new CliError('USAGE', inputIsAnOption);
        return exec(cli(), device, capability, options);
      }),
    'palyra node exec "kitchen sensor" system.info',
    'palyra node exec 7K3QX9AB echo --input \'{"hello":1}\' --json',
  );
}

const inputIsAnOption =
  'Give one device and one capability. The input of the capability goes into --input, quoted for the shell: --input \'{"hello":1}\'';

async function exec(cli: Cli, reference: string, capability: string, options: ExecOptions): Promise<void> {
  const { input } = options;
  if (!isJson(input)) throw new CliError('USAGE', `The input is not JSON: ${printable(input)}`);
  const reply = await withAdmin(cli, async (admin) =>
    admin.executeCapability({
      deviceId: await resolveDevice(cli, admin, reference, { byName: true }),
      capability,
      input: new TextEncoder().encode(input),
      timeoutMs: options.timeout,
    }),
  );
  const output = parseOutput(reply.output);
  cli.output.answer({ output, elapsed_ms: reply.elapsedMs, reconnects: reply.reconnects }, () =>
    printableLines(JSON.stringify(output, null, 2)),
  );
}

/** Keeps numbers as the device wrote them. @throws CAPABILITY_FAILED; its message does not repeat the device's text. */
function parseOutput(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes), asWritten);
  } catch {
    throw new IdentityError(
      'CAPABILITY_FAILED',
      'The output of the device is not JSON, or is nested too deeply.',
    );
  }
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

function asWritten(_key: string, value: unknown, { source }: { source?: string } = {}): unknown {
  return typeof value === 'number' && source !== undefined ? rawJSON(source) : value;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
