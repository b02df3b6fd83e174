// The sources of the pairing code for `pair`: the prompt, stdin or a file. Never the command line, because every user
// of the machine can read it.

import { open } from 'node:fs/promises';
import { IdentityError } from '@palyra/identity';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { type Cli, followUp } from './cli.ts';
import { CliError, fileFailed } from './failure.ts';
import { untilInterrupted } from './interruption.ts';
import type { Input } from './invocation.ts';
import { askText, canAsk } from './question.ts';

export interface CodeOptions {
  readonly codeStdin?: boolean;
  /** A file with a palyra: URI; `-` means stdin. */
  readonly qr?: string;
}

/** Longest first line that is read, in bytes. */
const maxCodeBytes = 1024;

/** @throws USAGE; its message does not repeat the code. */
export function refuseCodes(words: readonly (string | undefined)[]): void {
  if (!words.some((word) => word !== undefined && looksLikeCode(word))) return;
  throw new CliError(
    'USAGE',
    'A pairing code was given on the command line, where every user of this machine can read it. Make a new code, because somebody may have seen this one. Then type it at the prompt, pipe it in with --code-stdin, or put the palyra: URI in a file and use --qr FILE.',
  );
}

function looksLikeCode(word: string): boolean {
  return /^\s*palyra:/i.test(word) || problemOf(word) === undefined;
}

/** Whether any source can supply a code. */
export function hasCodeSource(cli: Cli, options: CodeOptions): boolean {
  return options.codeStdin === true || options.qr !== undefined || canAsk(cli);
}

/** @throws CODE_MALFORMED, NO_TERMINAL, FILE_FAILED, INTERRUPTED */
export async function readCode(cli: Cli, options: CodeOptions): Promise<PairingCode> {
  const { stdin, interrupted } = cli.invocation;
  if (options.codeStdin || options.qr === '-') {
    return parsePairingCode(await untilInterrupted(interrupted, firstLine(stdin)));
  }
  if (options.qr !== undefined) {
    const line = await firstLineOfFile(options.qr);
    if (!looksLikeCode(line)) {
      throw new IdentityError('CODE_MALFORMED', `The first line of ${options.qr} is not a palyra: URI.`);
    }
    return parsePairingCode(line);
  }
  if (!canAsk(cli)) {
    throw new CliError(
      'NO_TERMINAL',
      `There is no terminal to ask for the code. Send the code on stdin: ${followUp(cli, 'pair ADDRESS --code-stdin')}`,
    );
  }
  return parsePairingCode(
    await askText(cli, 'Pairing code shown by the daemon', {
      placeholder: '123-456789',
      check: problemOf,
    }),
  );
}

function problemOf(text: string): string | undefined {
  try {
    parsePairingCode(text);
    return undefined;
  } catch (error) {
    if (error instanceof IdentityError) return error.message;
    throw error;
  }
}

async function firstLine(stdin: Input): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    length += bytes.length;
    if (bytes.includes('\n') || length > maxCodeBytes) break;
  }
  return Buffer.concat(chunks).toString().split('\n', 1)[0]!;
}

async function firstLineOfFile(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxCodeBytes));
    return buffer.toString('utf8', 0, bytesRead).split('\n', 1)[0]!;
  } catch (cause) {
    throw fileFailed(`--qr: ${path}`, 'read', cause);
  }
}
