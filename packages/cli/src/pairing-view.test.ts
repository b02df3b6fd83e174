import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Continuity, DeviceKind, DeviceRole, PairingState } from '@palyra/rpc/admin';
import type { Pairing } from './admin.ts';
import { resolveHome } from './home.ts';
import { Output } from './output.ts';
import {
  changeOf,
  type PairingChange,
  pairingChangeLine,
  pairingDetails,
  pairingJson,
  pairingTable,
} from './pairing-view.ts';
import { recorded } from './testing/recorded-run.ts';

const { invocation } = recorded();
const cli = {
  invocation,
  output: new Output(invocation, false),
  home: resolveHome('/h', invocation),
  side: 'operator' as const,
  now: () => new Date(2026, 4, 1, 14, 5, 9).getTime(),
};

const device: NonNullable<Pairing['device']> = {
  $typeName: 'palyra.admin.v1.PairingDevice',
  deviceId: '01KAT0MZP8C4T7T1JQ5Z7K3QX9',
  name: 'laptop',
  kind: DeviceKind.CLI,
  platform: 'linux-x64 node-24.21',
  identityFingerprint: 'ab'.repeat(32),
  words: 'apple bear cat',
  source: '192.168.1.9',
  continuity: Continuity.NEW,
  role: DeviceRole.UNSPECIFIED,
  knownName: '',
};

const request: Pairing = {
  $typeName: 'palyra.admin.v1.Pairing',
  id: '01KAT0PPPPC4T7T1JQ5ZABCDEF',
  state: PairingState.PENDING_APPROVAL,
  slot: '123',
  createdAtMs: BigInt(cli.now() - 60_000),
  expiresAtMs: BigInt(cli.now() + 3_600_000),
  guessesLeft: 2,
  failedGuesses: 1,
  reason: '',
  serial: '',
  autoApprove: false,
  device,
};

test('a request shows everything needed for the decision', () => {
  const shown = pairingDetails(cli, request);
  for (const part of [
    request.id,
    'laptop',
    'cli',
    'linux-x64 node-24.21',
    'apple bear cat',
    device.deviceId,
    device.identityFingerprint,
    '192.168.1.9',
    'no, a new device',
    'bad guesses   1',
  ]) {
    assert.ok(shown.includes(part), `${part} in\n${shown}`);
  }
  for (const line of shown.split('\n')) assert.ok(line.length <= 80, line);
});

test('another identity key is clear from the words alone, without colour', () => {
  const other = { ...request, device: { ...device, continuity: Continuity.ANOTHER_KEY } };
  assert.match(
    pairingDetails(cli, other),
    /YES, WITH ANOTHER IDENTITY KEY.*! .*ANOTHER identity key.*--replace-key/s,
  );
  assert.match(
    pairingChangeLine(cli, changeOf(other)),
    /! this device id is known with ANOTHER identity key/,
  );
  assert.doesNotMatch(pairingDetails(cli, request), /ANOTHER/);
});

test('a new request is shown with its words and the command that approves it', () => {
  assert.deepEqual(pairingChangeLine(cli, changeOf(request)).split('\n'), [
    '14:05:09  laptop asks to be paired: cli, linux-x64 node-24.21, from 192.168.1.9',
    '          words    apple bear cat',
    '          before   1 wrong guess',
    '          approve  palyra pairing approve 5ZABCDEF --home /h',
  ]);
});

for (const [state, expected] of [
  ['approved', 'Approved: laptop. It now fetches its certificate.'],
  ['issued', 'laptop has its certificate.'],
  ['active', 'laptop connected for the first time.'],
  ['rejected', 'Rejected: laptop (not mine).'],
  ['expired', 'The request of laptop expired.'],
] as const) {
  test(`a request that is ${state} is one line`, () => {
    const change: PairingChange = {
      ...changeOf(request),
      state,
      reason: state === 'rejected' ? 'not mine' : '',
    };
    assert.equal(pairingChangeLine(cli, change), `14:05:09  ${expected}`);
  });
}

for (const [state, slot, expected] of [
  ['waiting', '123', 'A device uses code 123; guesses left after this one: 2.'],
  ['rejected', '123', 'Rejected: Code 123.'],
  ['expired', '123', 'Code 123 expired unused.'],
  ['exhausted', '', 'A QR code is used up: every guess was wrong.'],
] as const) {
  test(`a code that is ${state} is one line`, () => {
    const { device: _, ...code } = changeOf(request);
    assert.equal(pairingChangeLine(cli, { ...code, state, slot }), `14:05:09  ${expected}`);
  });
}

test('a device cannot control the terminal by its own description', () => {
  const later = 99 as PairingState;
  const evil = 'x\u001b[2J\u202e\ny';
  const nasty = {
    ...request,
    reason: evil,
    device: { ...device, name: evil, platform: evil, words: evil, source: evil },
  };
  for (const state of [PairingState.PENDING_APPROVAL, PairingState.APPROVED, PairingState.REJECTED, later]) {
    const shown = [
      pairingDetails(cli, { ...nasty, state }),
      pairingTable(cli, [{ ...nasty, state }]),
      pairingChangeLine(cli, changeOf({ ...nasty, state })),
    ].join('\n');
    assert.doesNotMatch(shown, /\p{Cf}|(?!\n)\p{Cc}/u);
    assert.doesNotMatch(shown, /^y/m);
  }
});

test('a request from an operator says what happens to the role, with the same key and with another', () => {
  const shown = (continuity: Continuity) =>
    pairingDetails(cli, { ...request, device: { ...device, role: DeviceRole.OPERATOR, continuity } });
  assert.match(shown(Continuity.KNOWN), /this device is an OPERATOR and stays one/);
  assert.match(shown(Continuity.ANOTHER_KEY), /this id is an OPERATOR; the new key does not get that role/);
  assert.match(
    pairingChangeLine(cli, changeOf({ ...request, device: { ...device, role: DeviceRole.OPERATOR } })),
    /! this device is an OPERATOR/,
  );
  assert.doesNotMatch(pairingDetails(cli, request), /OPERATOR/);
});

test('a code that approves automatically is marked wherever it is shown', () => {
  const { device: _, ...waiting } = {
    ...request,
    state: PairingState.WAITING,
    failedGuesses: 0,
    autoApprove: true,
  };
  assert.match(pairingDetails(cli, waiting), /AUTO-APPROVED/);
  assert.match(pairingTable(cli, [waiting]), /123 AUTO/);
  assert.match(pairingChangeLine(cli, changeOf(waiting)), /APPROVES IT WITHOUT ASKING/);
});

test('JSON has every field, with null for a missing value', () => {
  const { device: _, ...code } = request;
  const json = pairingJson({ ...code, slot: '', expiresAtMs: 0n });
  assert.deepEqual(json, {
    id: request.id,
    state: 'pending_approval',
    code: 'qr',
    slot: null,
    auto_approve: false,
    created_at: new Date(Number(request.createdAtMs)).toISOString(),
    expires_at: null,
    guesses_left: 2,
    failed_guesses: 1,
    reason: null,
    serial: null,
    device: null,
  });
  assert.equal(pairingJson(request).device?.words, 'apple bear cat');
});
