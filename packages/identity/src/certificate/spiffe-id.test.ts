import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { makeUlid } from '../device-id.ts';
import { hasCode } from '../errors.ts';
import {
  daemonSpiffeId,
  deviceSpiffeId,
  makeTrustDomain,
  parseSpiffeId,
  parseTrustDomain,
  trustDomainSpiffeId,
} from './spiffe-id.ts';

const tenBytes = fc.uint8Array({ minLength: 10, maxLength: 10 });
const ulid = '01K8ZQ4YV3M6X9T2B7C5D1E0FG';

describe('SPIFFE IDs', () => {
  it('are parsed as they were formatted', () => {
    fc.assert(
      fc.property(tenBytes, fc.date({ min: new Date(0), noInvalidDate: true }), tenBytes, (a, now, b) => {
        const trustDomain = makeTrustDomain(a);
        const id = makeUlid(new Date(now.getTime() % 2 ** 48), b);
        assert.deepEqual(parseSpiffeId(deviceSpiffeId(trustDomain, id)), { kind: 'device', trustDomain, id });
        assert.deepEqual(parseSpiffeId(daemonSpiffeId(trustDomain, id)), { kind: 'daemon', trustDomain, id });
        assert.deepEqual(parseSpiffeId(trustDomainSpiffeId(trustDomain)), {
          kind: 'trust-domain',
          trustDomain,
        });
      }),
    );
  });

  it('have only one spelling', () => {
    for (const uri of [
      '',
      'spiffe://',
      'spiffe:///device/x',
      `SPIFFE://a.internal/device/${ulid}`,
      `spiffe://A.internal/device/${ulid}`,
      `https://a.internal/device/${ulid}`,
      `spiffe://a_b.internal/device/${ulid}`,
      `spiffe://10.0.0.1/device/${ulid}`,
      `spiffe://a.internal:443/device/${ulid}`,
      `spiffe://user@a.internal/device/${ulid}`,
      'spiffe://a.internal/',
      'spiffe://a.internal/device',
      'spiffe://a.internal/device/',
      `spiffe://a.internal/device/${ulid}/`,
      `spiffe://a.internal/device/${ulid}/x`,
      `spiffe://a.internal//device/${ulid}`,
      `spiffe://a.internal/./device/${ulid}`,
      `spiffe://a.internal/Device/${ulid}`,
      `spiffe://a.internal/operator/${ulid}`,
      `spiffe://a.internal/device/${ulid.toLowerCase()}`,
      `spiffe://a.internal/device/8${ulid.slice(1)}`,
      `spiffe://a.internal/device/${ulid.slice(0, 25)}U`,
      `spiffe://a.internal/device/${ulid}?x=1`,
      `spiffe://a.internal/device/${ulid}#x`,
      `spiffe://a.internal/device/${ulid}\n`,
      `spiffe://a.internal/device/%30${ulid.slice(1)}`,
      ` spiffe://a.internal/device/${ulid}`,
      `spiffe://${'a'.repeat(64)}.internal`,
      `spiffe://${'a.'.repeat(127)}a`,
    ]) {
      assert.throws(
        () => parseSpiffeId(uri),
        (error) => hasCode(error, 'CERTIFICATE_INVALID'),
        uri,
      );
    }
  });
});

describe('trust domains', () => {
  it('are lower-case DNS names', () => {
    assert.equal(parseTrustDomain('home.example'), 'home.example');
    for (const text of ['', 'Home.example', 'home_example', 'home..example', '127.0.0.1', 'a'.repeat(64)]) {
      assert.throws(
        () => parseTrustDomain(text),
        (error) => hasCode(error, 'MESSAGE_INVALID'),
        text,
      );
    }
  });

  it('are made from 10 random bytes, each of which counts', () => {
    assert.equal(
      makeTrustDomain(Uint8Array.of(0, 25, 26, 31, 32, 255, 1, 2, 3, 4)),
      'palyra-az27a7bcde.internal',
    );
    assert.throws(() => makeTrustDomain(new Uint8Array(9)), TypeError);
    fc.assert(
      fc.property(tenBytes, (random) =>
        assert.match(makeTrustDomain(random), /^palyra-[a-z2-7]{10}\.internal$/),
      ),
    );
  });
});
