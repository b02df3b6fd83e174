import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@palyra/identity';
import type { Cli } from './cli.ts';
import { readCode, refuseCodes } from './code-source.ts';
import { CliError, type CliErrorCode } from './failure.ts';
import { resolveHome } from './home.ts';
import { Output } from './output.ts';
import { recorded, runRecorded, temporaryFolder } from './testing/recorded-run.ts';

const uri = `palyra:pair?a=192.168.1.5%3A7443&s=${'A'.repeat(22)}&k=${'k'.repeat(43)}&r=${'g'.repeat(43)}`;
const failsWith = (code: CliErrorCode) => (error: unknown) =>
  error instanceof CliError && error.code === code;

function cliWith(input: string | undefined, interrupted?: AbortSignal): Cli {
  const { invocation } = recorded({
    ...(input !== undefined && { input }),
    ...(interrupted && { interrupted }),
  });
  return {
    invocation,
    output: new Output(invocation, false),
    home: resolveHome('/h', invocation),
    side: 'device',
    now: Date.now,
  };
}

for (const argument of ['123-456789', '123456789', '123 456 789', uri, 'palyra:anything', ' PALYRA:x']) {
  test(`"${argument.slice(0, 16)}" on the command line is refused`, () => {
    assert.throws(() => refuseCodes([undefined, argument]), failsWith('USAGE'));
  });
}

test('addresses and files are not taken for codes', () => {
  refuseCodes([undefined, '192.168.1.5:7443', 'daemon.local', 'uri.txt', '-', '12345678']);
});

test('the refusal does not repeat the code, whatever its position on the command line', async () => {
  for (const args of [
    ['pair', 'host', '123-456789'],
    ['pair', '123-456789'],
    ['pair', '--qr', uri],
  ]) {
    const { exitCode, stdout, stderr } = await runRecorded({ args });
    assert.equal(exitCode, 2);
    assert.match(stderr, /every user of this machine can read it.*\[USAGE\]/);
    assert.doesNotMatch(stdout + stderr, /456789|kkkk/);
  }
});

test('a code is read from the first line of stdin', async () => {
  const code = await readCode(cliWith('123 456789\nand more'), { codeStdin: true });
  assert.equal(code.kind, 'typed');
  assert.equal(new TextDecoder().decode(code.secret), '456789');
});

test('the message for a file without a URI names the file and does not repeat its contents', async (t) => {
  const file = join(await temporaryFolder(t), 'README.md');
  await writeFile(file, '# Palyra\n');
  await assert.rejects(readCode(cliWith(undefined), { qr: file }), (error) => {
    assert.ok(hasCode(error, 'CODE_MALFORMED'));
    assert.match(error.message, /README\.md is not a palyra: URI/);
    assert.doesNotMatch(error.message, /# Palyra/);
    return true;
  });
});

test('a URI is read from stdin and from a file', async (t) => {
  const file = join(await temporaryFolder(t), 'uri.txt');
  await writeFile(file, `${uri}\n`);
  for (const code of [
    await readCode(cliWith(uri), { qr: '-' }),
    await readCode(cliWith(undefined), { qr: file }),
  ]) {
    assert.equal(code.kind, 'qr');
    assert.equal(code.address, '192.168.1.5:7443');
  }
});

for (const [what, input] of [
  ['nothing', ''],
  ['words', 'hello\n'],
  ['too few digits', '12345678\n'],
  ['a megabyte', '1'.repeat(1 << 20)],
] as const) {
  test(`${what} on stdin is not a code`, async () => {
    await assert.rejects(readCode(cliWith(input), { codeStdin: true }), (error) =>
      hasCode(error, 'CODE_MALFORMED'),
    );
  });
}

test('the message for a missing file names the file', async () => {
  await assert.rejects(readCode(cliWith(undefined), { qr: '/nowhere/uri.txt' }), (error) => {
    assert.ok(failsWith('FILE_FAILED')(error));
    assert.match((error as Error).message, /\/nowhere\/uri\.txt/);
    return true;
  });
});

test('without a terminal there is no prompt, and the message names --code-stdin', async () => {
  await assert.rejects(readCode(cliWith('123-456789'), {}), (error) => {
    assert.ok(failsWith('NO_TERMINAL')(error));
    assert.match((error as Error).message, /--code-stdin/);
    return true;
  });
});

test('Ctrl-C ends the wait for stdin', async () => {
  const interruption = new AbortController();
  const cli = cliWith(undefined, interruption.signal);
  const { invocation } = cli;
  const silent = {
    ...cli,
    invocation: { ...invocation, stdin: new (await import('node:stream')).PassThrough() },
  };
  const reading = readCode(silent, { codeStdin: true });
  interruption.abort(new CliError('INTERRUPTED', 'Interrupted.'));
  await assert.rejects(reading, failsWith('INTERRUPTED'));
});
