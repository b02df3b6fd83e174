// Checks the model of the protocol in protocol.pml with spin (spinroot.com), in every order of its steps.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { variants } from '../testing/soak.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const model = join(import.meta.dirname, 'protocol.pml');
const missing = ['spin', 'gcc'].find((command) => spawnSync(command, ['-V']).error);
const skip = missing !== undefined && `NOT TESTED: ${missing} is missing. Install Debian's spin and gcc.`;

/** Tries every order. @returns spin's complaint; undefined if every promise holds. */
function check(...settings: string[]): string | undefined {
  const cwd = temporaryFolder();
  const run = (command: string, args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
    assert.equal(status, 0, `${command}: ${stdout}${stderr}`);
    return stdout;
  };
  const isAboutIdle = settings.includes('IDLE');
  run('spin', ['-a', ...settings.map((each) => `-D${each}`), model]);
  // Most runs take less time than their compilation.
  const speed = settings.at(-1) === 'GOES_BACK' ? '-O1' : '-O0';
  const kind = isAboutIdle ? '-DNFAIR=2' : '-DSAFETY';
  run('gcc', [speed, '-w', kind, '-DCOLLAPSE', '-DREVERSE', '-o', 'pan', 'pan.c']);
  // With weak fairness: each process that can go on does so at some time.
  const said = run('./pan', ['-m100000', ...(isAboutIdle ? ['-a', '-f'] : [])]);
  assert.doesNotMatch(said, /max search depth too small/);
  const [, errors] = /errors: (\d+)/.exec(said) ?? [];
  assert.ok(errors !== undefined, said);
  if (errors === '0') return undefined;
  return /^pan:\d+: (.*?) \(at depth/m.exec(said)?.[1] ?? said;
}

const accepted = 'assertion violated  !((wasAcknowledged&& !(lost)))';
const forgotten = 'assertion violated  !(wasKnown)';
const staysOpen = 'acceptance cycle';

describe('the protocol of a fleet', { skip }, () => {
  for (const asked of ['ASKED=0', 'ASKED=1'])
    test(`accepts nothing after an acknowledged revocation, and keeps a revocation that the database lost (${asked})`, () => {
      assert.equal(check(asked, 'GOES_BACK'), undefined);
    });

  test('accepts nothing after an acknowledged revocation, with more calls', () => {
    assert.equal(check('CALLS=3', 'ONLY_REVOCATION'), undefined);
  });

  test('closes a connection without calls, also if notifications are lost', () => {
    assert.equal(check('IDLE'), undefined);
  });

  test('would break with a lease in place of the read, unless the clocks of all daemons agreed', () => {
    assert.equal(check('LEASE', 'ONLY_REVOCATION'), accepted);
    assert.equal(check('LEASE', 'ONLY_REVOCATION', 'ONE_CLOCK'), undefined);
  });

  const mutations = [
    ['without the remembered row', ['GOES_BACK', 'NO_MEMORY'], forgotten],
    [
      'if the remembered row were checked only on new connections',
      ['GOES_BACK', 'CHECK_ONCE', 'ASKED=0'],
      forgotten,
    ],
    ['if a call shared a read that began earlier', ['JOIN_RUNNING', 'CALLS=3', 'ONLY_REVOCATION'], accepted],
    ['without the lock of the ledger', ['NO_LOCK'], accepted],
    ['with notifications alone', ['IDLE', 'NO_POLL'], staysOpen],
  ] as const;
  for (const [words, settings, complaint] of variants(mutations, ([, [kind]]) => kind === 'GOES_BACK'))
    test(`would break ${words}`, () => {
      assert.equal(check(...settings), complaint);
    });
});
