// Lists on a narrow terminal: no line is too wide, and everything that the next command needs is whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CertificateState, DeviceKind, DeviceState, Transport } from '@palyra/rpc/admin';
import width from 'fast-string-width';
import type { Certificate, Device } from './admin.ts';
import { deviceDetails, deviceJson, deviceTable } from './device-view.ts';
import { resolveHome } from './home.ts';
import { Output } from './output.ts';
import { pairingTable } from './pairing-view.ts';
import { idIn } from './reference.ts';
import { recorded } from './testing/recorded-run.ts';
import { sampleCode, sampleRequest } from './watch/testing/samples.ts';

const now = new Date(2026, 4, 1, 14, 5).getTime();

function cliWith(columns: number) {
  const { invocation } = recorded({ columns });
  const home = resolveHome('/h', invocation);
  return {
    invocation,
    output: new Output(invocation, false),
    home,
    side: 'operator' as const,
    now: () => now,
  };
}

const device = {
  id: '01KAT0MZP8C4T7T1JQ5Z7K3QX9',
  name: 'the sensor in the kitchen, behind the big refrigerator',
  kind: DeviceKind.DESKTOP,
  platform: 'linux-x64',
  state: DeviceState.APPROVED,
  identityFingerprint: 'ab'.repeat(32),
  createdAtMs: BigInt(now),
  lastSeenMs: BigInt(now - 59 * 60_000),
  capabilities: ['echo'],
  hostNames: ['kitchen.home.arpa'],
  labels: ['kitchen', 'site=berlin'],
  revocationReason: '',
  cloneSeenMs: 0n,
  recoveryAskedMs: 0n,
  certificateNotAfterMs: 0n,
  transport: Transport.UNSPECIFIED,
  origin: '',
} as unknown as Device;

const certificate = {
  serial: '4f2a90c1d3e5b7896a0b1c2d3e4f5061',
  state: CertificateState.SUPERSEDED,
  notBeforeMs: BigInt(now - 86_400_000),
  notAfterMs: BigInt(now + 86_400_000),
} as Certificate;

function fits(text: string, columns: number): void {
  for (const line of text.split('\n'))
    assert.ok(width(line) <= columns, `${width(line)} of ${columns}: ${line}`);
}

for (const columns of [30, 40, 60, 79, 80, 100]) {
  test(`the lists fit ${columns} columns`, () => {
    const cli = cliWith(columns);
    fits(deviceTable(cli, [device]), columns);
    fits(deviceDetails(cli, device, [certificate]).split('\n\n').at(-1)!, columns);
    const request = sampleRequest(1, {
      name: 'the sensor in the kitchen',
      words: 'elephant strawberry umbrella',
    });
    fits(pairingTable(cli, [request, sampleCode('236')]), columns);
  });
}

test('60 columns show the id, the name, the state and the last contact', () => {
  assert.deepEqual(deviceTable(cliWith(60), [device]).split('\n'), [
    'ID        NAME        KIND     STATE     SEEN        EXPIRES',
    '5Z7K3QX9  the senso…  desktop  approved  59 min ago  -',
  ]);
});

test('a connected device was seen now, with its transport if there is room', () => {
  const seen = (columns: number, transport: Transport) =>
    deviceTable(cliWith(columns), [{ ...device, name: 'box', transport }]).split('\n')[1];
  assert.match(seen(60, Transport.QUIC)!, / approved {2}now {2}/);
  assert.match(seen(100, Transport.QUIC)!, / approved {2}now, QUIC {2,}/);
  assert.match(seen(100, Transport.HTTP2)!, / approved {2}now, HTTP\/2 {2,}/);
  const connected = { ...device, transport: Transport.QUIC };
  assert.match(deviceDetails(cliWith(100), connected, []), /last seen +now, QUIC/);
  const { connected: isConnected, transport } = deviceJson(connected);
  assert.deepEqual([isConnected, transport], [true, 'quic']);
});

test('the origin of a connected browser is listed if there is room, and shown in full', () => {
  const origin = 'chrome-extension://abcdefghijklmnopabcdefghijklmnop';
  const browser = { ...device, name: 'box', transport: Transport.WEBSOCKET, origin };
  const listed = (columns: number) => deviceTable(cliWith(columns), [browser, device]).split('\n')[1]!;
  assert.match(listed(200), new RegExp(` now, WebSocket .* ${origin}$`));
  assert.doesNotMatch(listed(60), /chrome/);
  assert.match(listed(60), / now +-$/);
  for (const columns of [30, 60, 100, 160]) fits(deviceTable(cliWith(columns), [browser, device]), columns);
  assert.match(deviceDetails(cliWith(100), browser, []), new RegExp(`origin +${origin}`));
  assert.deepEqual([deviceJson(browser).origin, deviceJson(device).origin], [origin, null]);
});

test('60 columns show the id, the state and the words of a request', () => {
  const shown = pairingTable(cliWith(60), [{ ...sampleRequest(1), expiresAtMs: BigInt(now + 60_000) }]);
  assert.match(shown, /^5ZABCDE1 /m);
  assert.match(shown, /WAITS FOR YOU .*apple bear cat1/);
});

test('a shortened id is still one that commands take', () => {
  assert.equal(idIn(80, device.id), device.id);
  assert.equal(idIn(79, device.id), '5Z7K3QX9');
  assert.equal(idIn(60, certificate.serial), '4f2a90c1');
  assert.equal(idIn(60, 'daemon'), 'daemon');
});
