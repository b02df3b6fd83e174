import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeUlid } from '../device-id.ts';
import { hasCode, IdentityError } from '../errors.ts';
import { lvCat } from '../lv.ts';
import {
  type DeviceHello,
  encodeDaemonHello,
  encodeDeviceHello,
  parseDaemonHello,
  parseDeviceHello,
} from './hello.ts';
import { parseDeviceName } from './name.ts';

const ulid = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.uint8Array({ minLength: 10, maxLength: 10 }))
  .map(([ms, random]) => makeUlid(new Date(ms), random));
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => {
  try {
    return parseDeviceName(text) === text;
  } catch {
    return false;
  }
});
const plain = { noNullPrototype: true } as const;
const deviceHello: fc.Arbitrary<DeviceHello> = fc.record(
  {
    deviceId: ulid,
    identityKey: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    tlsKey: fc.uint8Array({ maxLength: 200 }),
    name,
    platform: name,
  },
  plain,
);
const daemonHello = fc.record(
  {
    daemonId: ulid,
    trustDomain: fc.constantFrom('palyra-abcdefghij.internal', 'home.example', 'a'),
    time: fc.integer({ min: 1, max: 999_999_999_999_999 }).map((ms) => new Date(ms)),
  },
  plain,
);

test("a device's hello can be decoded", () => {
  fc.assert(
    fc.property(deviceHello, (hello) => {
      assert.deepEqual(parseDeviceHello(encodeDeviceHello(hello)), hello);
    }),
  );
});

test("a daemon's hello can be decoded", () => {
  fc.assert(
    fc.property(daemonHello, (hello) => {
      assert.deepEqual(parseDaemonHello(encodeDaemonHello(hello)), hello);
    }),
  );
});

const onlyOurErrors = (parse: () => unknown) => {
  try {
    parse();
  } catch (error) {
    assert.ok(error instanceof IdentityError, String(error));
    assert.ok(error.code === 'MESSAGE_INVALID' || error.code === 'DEVICE_ID_INVALID', error.code);
  }
};

test('a parser throws only its two codes, whatever the bytes are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (data) => {
      onlyOurErrors(() => parseDeviceHello(data));
      onlyOurErrors(() => parseDaemonHello(data));
    }),
    { numRuns: 1000 },
  );
});

test('the same holds for a valid hello with one changed byte', () => {
  fc.assert(
    fc.property(
      deviceHello,
      daemonHello,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (device, daemon, at, flip) => {
        const deviceBytes = encodeDeviceHello(device);
        deviceBytes[at % deviceBytes.length]! ^= flip;
        onlyOurErrors(() => parseDeviceHello(deviceBytes));
        const daemonBytes = encodeDaemonHello(daemon);
        daemonBytes[at % daemonBytes.length]! ^= flip;
        onlyOurErrors(() => parseDaemonHello(daemonBytes));
      },
    ),
  );
});

test('a hello of one side is never accepted as the other’s', () => {
  fc.assert(
    fc.property(deviceHello, daemonHello, (device, daemon) => {
      assert.throws(() => parseDaemonHello(encodeDeviceHello(device)), IdentityError);
      assert.throws(() => parseDeviceHello(encodeDaemonHello(daemon)), IdentityError);
    }),
  );
});

test("a daemon's hello with an invalid time or trust domain is refused", () => {
  const id = '01K8ZQ4YV3AAAAAAAAAAAAAAAA';
  const hello = (trustDomain: string, time: string) => lvCat('palyra-daemon-hello-v2', id, trustDomain, time);
  assert.equal(parseDaemonHello(hello('home.example', '1700000000000')).time.getTime(), 1_700_000_000_000);
  for (const time of ['', '0', '-1', '01', '1.5', '1e3', ' 1', '9'.repeat(16), 'NaN', '１']) {
    assert.throws(
      () => parseDaemonHello(hello('home.example', time)),
      (error) => hasCode(error, 'MESSAGE_INVALID'),
      time,
    );
  }
  for (const domain of ['', 'Home.example', 'a b', '*.example', 'x/../y', 'a\n', 'x'.repeat(300)]) {
    assert.throws(
      () => parseDaemonHello(hello(domain, '1700000000000')),
      (error) => hasCode(error, 'MESSAGE_INVALID'),
      domain,
    );
  }
});
