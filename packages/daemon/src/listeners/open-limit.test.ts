import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { test } from 'node:test';
import { hasCode, type IdentityError } from '@palyra/identity';
import { sourceKey } from '@palyra/rpc/transport';
import fc from 'fast-check';
import { OpenLimit } from './open-limit.ts';

async function refusal(attempt: Promise<void>): Promise<IdentityError> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(hasCode(error, 'RATE_LIMITED'));
  return error;
}

test('each source has its own number of attempts', async () => {
  const limit = new OpenLimit({ perSource: 3, overall: 100 });
  for (let n = 0; n < 3; n += 1) await limit.take('192.0.2.1');
  const error = await refusal(limit.take('192.0.2.1'));
  assert.ok(error.retryAfterMs! > 0 && error.retryAfterMs! <= 60_000);
  assert.ok(Number.isInteger(error.retryAfterMs), 'it travels as an integer');
  await limit.take('192.0.2.2');
  assert.equal(limit.refused, 1);
});

test('the total limit applies to all sources, including new ones', async () => {
  const limit = new OpenLimit({ perSource: 2, overall: 5 });
  for (let n = 1; n <= 5; n += 1) await limit.take(`192.0.2.${n}`);
  for (let n = 6; n <= 8; n += 1) await refusal(limit.take(`192.0.2.${n}`));
  assert.equal(limit.refused, 3);
});

test('an attempt that the limit per source refuses does not count towards the total', async () => {
  const limit = new OpenLimit({ perSource: 1, overall: 3 });
  await limit.take('192.0.2.1');
  for (let n = 0; n < 10; n += 1) await refusal(limit.take('192.0.2.1'));
  await limit.take('192.0.2.2');
  await limit.take('192.0.2.3');
  await refusal(limit.take('192.0.2.4'));
});

test('simultaneous attempts do not exceed the limit', async () => {
  const limit = new OpenLimit({ perSource: 10, overall: 100 });
  const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => limit.take('192.0.2.1')));
  assert.equal(outcomes.filter((each) => each.status === 'fulfilled').length, 10);
});

test('an IPv6 network is one source in every notation of its addresses', () => {
  const same = [
    '2001:db8:1:2::1',
    '2001:db8:1:2:ffff:ffff:ffff:ffff',
    '2001:0db8:0001:0002:0000:0000:0000:0001',
    '2001:DB8:1:2::1%eth0',
  ];
  assert.equal(new Set(same.map(sourceKey)).size, 1);
  assert.notEqual(sourceKey('2001:db8:1:3::1'), sourceKey('2001:db8:1:2::1'));
  assert.equal(sourceKey('::1'), sourceKey('::2'));
  assert.equal(sourceKey('2001:db8::'), sourceKey('2001:db8:0:0:5::'));
});

test('an IPv4 address and its IPv4-mapped IPv6 form are one source', () => {
  assert.equal(sourceKey('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(sourceKey('::FFFF:192.0.2.1'), '192.0.2.1');
  assert.equal(sourceKey('192.0.2.1'), '192.0.2.1');
  assert.notEqual(sourceKey('192.0.2.1'), sourceKey('192.0.2.2'));
});

test('only the first four groups of an IPv6 address decide the source', () => {
  const group = fc.integer({ min: 0, max: 0xffff });
  const groups = (length: number) => fc.array(group, { minLength: length, maxLength: length });
  const write = (all: number[]) => all.map((each) => each.toString(16)).join(':');
  fc.assert(
    fc.property(groups(4), groups(4), groups(4), groups(4), (network, host, otherNetwork, otherHost) => {
      const address = write([...network, ...host]);
      assert.ok(isIPv6(address));
      assert.equal(sourceKey(address), sourceKey(write([...network, ...otherHost])));
      const elsewhere = write([...otherNetwork, ...host]);
      assert.equal(sourceKey(address) === sourceKey(elsewhere), write(network) === write(otherNetwork));
    }),
  );
});

test('the short and the long form of an address are one source', () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const long = new URL(`http://[${address}]`).hostname.slice(1, -1);
      assert.equal(sourceKey(long), sourceKey(address));
    }),
  );
});
