// Each of these facts has one owner. A failure names the file that should be used instead.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placesOf, product } from '../testing/sources.ts';

test('the sources were found', () => {
  assert.ok(product.length > 200);
});

const facts: readonly (readonly [fact: string, pattern: RegExp, places: readonly string[]])[] = [
  [
    'when a certificate is replaced: RENEWAL_SHARE, renewalDueAt',
    /\b2\)? ?\/ 3\b/,
    ['packages/identity/src/certificate/renewal-share.ts'],
  ],
  [
    'host:port: parseEndpoint, formatEndpoint',
    /\[\$\{(?:host|address)\}\]|\.lastIndexOf\(':'\)/,
    [
      'packages/identity/src/endpoint.ts',
      // It corrects the output of Node's client.
      'packages/rpc/src/calls/connect-handler.ts',
    ],
  ],
  [
    'which characters can be shown: UNPRINTABLE, INVISIBLE, parseVisibleText, printable',
    /\\p\{(?:C|Cc|Cf|Default_Ignorable_Code_Point)\}/,
    [
      // Characters that the file format cannot contain.
      'packages/cli/src/launchd-job.ts',
      'packages/cli/src/systemd-unit.ts',
      'packages/identity/src/visible-text.ts',
    ],
  ],
  [
    'how a loop waits for events: Wakeup',
    /\b#?wake = (?:resolve|\(\) => \{\})/,
    [
      // Several readers wait there for one stream.
      'packages/transport-quic/src/quiche/dial.ts',
    ],
  ],
  [
    'comparing bytes: sameBytes, or crypto.equal of the port',
    /timingSafeEqual\(|\bequalBytes\(|every\(\(\w+, \w+\) => \w+ === \w+\[|Buffer\.from\(\w+\)\.equals\(/,
    [
      // Digests of texts of any length.
      'packages/daemon/src/console/sessions.ts',
      'packages/identity/src/crypto/node.ts',
      'packages/identity/src/same-bytes.ts',
      'packages/signer-pkcs11/src/pin.ts',
    ],
  ],
  [
    'a missing device: deviceNotFound',
    /There is no device|No device has the id/,
    ['packages/identity/src/fleet/device.ts'],
  ],
  [
    'changes of pairings as a stream: PairingChanges',
    /=== 'pairing_changed'|!== 'pairing_changed'|'pairing' in event/,
    [
      'packages/cli/src/commands/daemon.ts',
      'packages/daemon/src/admin/pairing-changes.ts',
      'packages/daemon/src/metrics/pairing-metrics.ts',
      'packages/daemon/src/notices/notice.ts',
      'packages/daemon/src/start/log.ts',
      'packages/identity/src/pairing/collect.ts',
      // As a row for other daemons.
      'packages/registry-sql/src/postgres/event-body.ts',
      // Work that a daemon of a fleet has done.
      'packages/registry-sql/src/postgres/members.ts',
    ],
  ],
];

for (const [fact, pattern, places] of facts) {
  test(`one place: ${fact}`, () => {
    assert.deepEqual(placesOf(pattern), [...places].sort());
  });
}

test('the code compares proto enums by value, and only two files hold their words: those for devices and the others', () => {
  assert.deepEqual(placesOf(/\bwireWords</), [
    'packages/rpc/src/device-enums.ts',
    'packages/rpc/src/wire-enums.ts',
  ]);
  assert.deepEqual(placesOf(/new WireWords\b/), [
    'packages/rpc/src/device-enums.ts',
    'packages/rpc/src/enum-words.ts',
  ]);
});
