// Answers from the network, which anybody may have sent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import dnsPacket, { type Answer } from 'dns-packet';
import fc from 'fast-check';
import {
  asksFor,
  asksForServices,
  decodeAnswer,
  decodeQuery,
  readAnswer,
  recordsOf,
  serviceName,
} from './records.ts';

const daemon = { daemonId: '01M86AT7C9B52AYE27TEK0RG45', trustDomain: 'home.example.internal', port: 7443 };
const read = (answers: readonly Answer[]) =>
  readAnswer(decodeAnswer(dnsPacket.encode({ type: 'response', answers: [...answers] }))!, 'eth0');

test('a device reads what a daemon announces, with its most reachable address', () => {
  for (const [addresses, address] of [
    [['fe80::1', '2001:db8::1', '192.0.2.1'], '192.0.2.1:7443'],
    [['fe80::1', '2001:db8::1'], '[2001:db8::1]:7443'],
    [['fe80::1'], '[fe80::1%eth0]:7443'],
  ] as const)
    assert.deepEqual(read(recordsOf(daemon, addresses)), [{ trustDomain: daemon.trustDomain, address }]);
});

test('a daemon that leaves or has no address is not listed', () => {
  assert.deepEqual(read(recordsOf(daemon, ['192.0.2.1'], { hostS: 0, otherS: 0 })), []);
  assert.deepEqual(read(recordsOf(daemon, [])), []);
});

test('an invalid trust domain is not shown', () => {
  for (const trustDomain of [
    '',
    'EVIL',
    '\u001b[2J',
    '\u202e',
    'a b',
    'a\nb',
    'x'.repeat(250),
    '"; rm -rf /',
  ])
    assert.deepEqual(
      read(recordsOf({ ...daemon, trustDomain }, ['192.0.2.1'])),
      [],
      JSON.stringify(trustDomain),
    );
});

test('answers with port 0, a missing record or another service are skipped', () => {
  assert.deepEqual(read(recordsOf({ ...daemon, port: 0 }, ['192.0.2.1'])), []);
  const whole = recordsOf(daemon, ['192.0.2.1']);
  for (const at of whole.keys()) assert.deepEqual(read(whole.filter((_, index) => index !== at)), []);
  assert.deepEqual(
    read(whole.map((each) => (each.name === serviceName ? { ...each, name: '_ipp._tcp.local' } : each))),
    [],
  );
});

test('only a few daemons are read from a packet with a thousand', () => {
  const many = Array.from({ length: 1000 }, (_, at) =>
    recordsOf({ ...daemon, daemonId: `${daemon.daemonId.slice(0, -4)}${1000 + at}` }, ['192.0.2.1']),
  ).flat();
  const packet = dnsPacket.encode({ type: 'response', answers: many.slice(0, 400) });
  assert.equal(decodeAnswer(packet), undefined, 'it is too long');
  assert.ok(readAnswer(dnsPacket.decode(packet), 'eth0').length <= 16);
});

/** A packet full of names, each of which points to the first one, which has 126 labels. */
function namesByPointer(flags: number, count: number, rest: number[]): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(count, flags === 0 ? 4 : 6);
  const name = [...Array.from({ length: 126 }, () => [1, 97]).flat(), 0];
  const others = Array.from({ length: count - 1 }, () => [0xc0, 12, ...rest]).flat();
  return Buffer.concat([header, Buffer.from([...name, ...rest, ...others])]);
}

test('only a few of a thousand names in one packet are read', () => {
  const asked = namesByPointer(0, 1_400, [0, 12, 0, 1]);
  assert.equal(decodeQuery(asked)?.questions.length, 16);
  assert.equal(decodeAnswer(asked), undefined, 'it is no answer');
  const answered = namesByPointer(0x8400, 700, [0, 16, 0, 1, 0, 0, 0, 9, 0, 0]);
  assert.equal(decodeAnswer(answered), undefined);
  assert.equal(decodeQuery(answered), undefined, 'it is no query');
});

test('a daemon that claims a loopback, wildcard, multicast or broadcast address is not listed', () => {
  for (const address of [
    '127.0.0.1',
    '0.0.0.0',
    '224.0.0.251',
    '255.255.255.255',
    '::1',
    '::',
    '::ffff:127.0.0.1',
    'ff02::1',
  ])
    assert.deepEqual(read(recordsOf(daemon, [address])), [], address);
});

test('arbitrary bytes are ignored without an error', () => {
  const good = dnsPacket.encode({ type: 'response', answers: recordsOf(daemon, ['192.0.2.1']) });
  const changes = fc.array(fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), changes), (input) => {
      const bytes = Buffer.from(good);
      if (Array.isArray(input)) for (const [at, value] of input) bytes[at] = value;
      const received = Array.isArray(input) ? bytes : Buffer.from(input);
      for (const question of decodeQuery(received)?.questions ?? []) {
        asksFor(question, daemon);
        asksForServices(question);
        dnsPacket.encode({ type: 'response', questions: [question] });
      }
      const packet = decodeAnswer(received);
      if (!packet) return;
      for (const { trustDomain, address } of readAnswer(packet, 'eth0'))
        assert.match(
          `${trustDomain} ${address}`,
          /^[a-z0-9._-]+ (?:[0-9.]+|\[[0-9a-f:.]+(?:%eth0)?\]):[0-9]+$/,
        );
    }),
    { numRuns: 2_000 },
  );
});
