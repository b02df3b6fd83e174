import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from '@palyra/identity';
import { type ErrorFields, errorCodes, errorSubjects, type IdentityErrorCode } from '@palyra/identity/errors';
import { advices } from '@palyra/rpc/admin';
import type { Side } from './cli.ts';
import { resolveHome } from './home.ts';
import { adviceStep, nextStep, nextStepOf } from './next-step.ts';
import { buildProgram } from './program.ts';
import { remoteOf } from './remote.ts';
import { recorded } from './testing/recorded-run.ts';

const deviceId = '01KAT0MZP8C4T7T1JQ5Z7K3QX9';
const { invocation } = recorded({ program: 'npx palyra' });
const home = resolveHome('/h', invocation);
const as = (side: Side, remoteAddress?: string) => {
  const remote = remoteOf(remoteAddress === undefined ? {} : { remoteAddress });
  return { invocation, home, side, ...(remote && { remote }) };
};

const expected: readonly (readonly [Side, IdentityErrorCode, ErrorFields, string])[] = [
  ['operator', 'DEVICE_NOT_FOUND', {}, 'See: npx palyra devices list --home /h'],
  ['device', 'DEVICE_NOT_FOUND', {}, 'Pair this device: npx palyra pair ADDRESS --home /h'],
  ['operator', 'UNREACHABLE', { about: 'admin_socket' }, 'Start it: npx palyra daemon --home /h'],
  [
    'device',
    'PAIRING_EXPIRED',
    {},
    "Ask the operator for a new code (on the daemon's machine: palyra pairing code).",
  ],
  ['operator', 'PAIRING_EXPIRED', {}, 'Make a new code: npx palyra pairing code --home /h'],
  ['device', 'DEVICE_REVOKED', {}, 'Make a new identity: npx palyra pair ADDRESS --new-identity --home /h'],
  ['operator', 'DEVICE_REVOKED', {}, 'Make a new identity on the device: palyra pair ADDRESS --new-identity'],
  [
    'device',
    'CERTIFICATE_EXPIRED',
    {},
    'npx palyra renew --recover --home /h (or npx palyra pair ADDRESS --home /h when the device was away for too long)',
  ],
  [
    'operator',
    'CERTIFICATE_EXPIRED',
    {},
    'On the device: palyra renew --recover (or palyra pair ADDRESS when the device was away for too long)',
  ],
  [
    'device',
    'RECOVERY_NEEDS_APPROVAL',
    { deviceId },
    `Ask the operator to let the device back in, on the daemon's machine: palyra devices release ${deviceId}`,
  ],
  ['operator', 'DEVICE_NOT_CONNECTED', { deviceId }, 'On the device, run: palyra node run'],
  ['operator', 'CAPABILITY_LOST', {}, 'Look on the device whether it has run, before you run it again.'],
  [
    'operator',
    'TOO_MANY_CODES',
    {},
    'Use one of the codes, or withdraw one: npx palyra pairing reject ID --home /h (see npx palyra pairing list --home /h)',
  ],
  [
    'operator',
    'STORE_PERMISSIONS',
    { about: 'home_owner', user: '#1000', path: '/srv/my home' },
    "Run the command as that user: sudo -u '#1000' palyra ... --home '/srv/my home'. Or name a home of your own: --home DIR",
  ],
];

for (const [side, code, fields, step] of expected) {
  test(`${code}${fields.about ? ` about ${fields.about}` : ''} gives a person on the ${side}'s side a step that works there`, () => {
    assert.equal(nextStep(as(side), code, fields), step);
  });
}

test('with --remote, a step is remote where possible, and otherwise runs on the daemon’s machine', () => {
  const cli = as('operator', 'door.example:7444');
  assert.equal(
    nextStep(cli, 'DEVICE_NOT_FOUND'),
    'See: npx palyra --remote --remote-address door.example:7444 devices list --home /h',
  );
  assert.equal(
    nextStep(cli, 'CALLER_NOT_ALLOWED', { about: 'operator_role', deviceId }),
    `Give the device the role on the daemon's machine: palyra devices set-role ${deviceId} operator`,
  );
  assert.equal(nextStep(cli, 'UNREACHABLE', { about: 'admin_socket' }), 'Start it: palyra daemon');
  assert.match(nextStep(cli, 'CERTIFICATE_EXPIRED') ?? '', /npx palyra renew --recover --home \/h/);
});

test('every command in a step exists', async () => {
  const program = await buildProgram(invocation);
  let checked = 0;
  for (const side of ['device', 'operator'] as const)
    for (const fields of [{}, ...errorSubjects.map((about) => ({ about }))])
      for (const step of [
        ...errorCodes.map((code) => nextStep(as(side), code, fields)),
        ...advices.words.map((advice) => adviceStep(as(side), advice, fields)),
      ])
        for (const [, words = ''] of step?.matchAll(/palyra ((?:[a-z][a-z-]* ?)+)/g) ?? []) {
          let command = program;
          for (const word of words.trim().split(' ')) {
            if (command.commands.length === 0) break;
            command =
              command.commands.find((each) => each.name() === word) ?? assert.fail(`${step}: ${word}`);
          }
          checked += 1;
        }
  assert.ok(checked > 100);
});

test('an error that combines several gives the step of each, once', () => {
  const full = new IdentityError('STORE_FULL', 'The disk is full.');
  const lost = new IdentityError('REGISTRY_LOST', 'The registry is lost.');
  const together = new IdentityError('STORE_FULL', 'Both.', {
    cause: new AggregateError([full, lost, lost]),
  });
  assert.equal(nextStepOf(as('operator'), together), nextStep(as('operator'), 'REGISTRY_LOST'));
});
