import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ipAddressBytes, isDnsName } from './host-name.ts';

describe('host names', () => {
  it('accepts lower-case DNS names', () => {
    for (const name of [
      'a',
      'localhost',
      'xn--bcher-kva.example',
      '1and1.example',
      '0x7f.example',
      'example.0xg',
      `${'a'.repeat(63)}.example`,
    ]) {
      assert.equal(isDnsName(name), true, name);
    }
  });

  it('refuses everything else', () => {
    for (const name of [
      '',
      '.',
      'a.',
      '.a',
      'a..b',
      '-a',
      'a-',
      'a_b',
      'A',
      '*.example',
      'a b',
      'a,b',
      'a\0b',
      'bücher.example',
      '10.0.0.1',
      'example.1',
      '0x7f000001',
      'example.0x',
      `${'a'.repeat(64)}.example`,
      `${'a.'.repeat(126)}aa`,
    ]) {
      assert.equal(isDnsName(name), false, JSON.stringify(name));
    }
  });

  it('reads every spelling of an address', () => {
    const hex = (text: string) => Buffer.from(ipAddressBytes(text) ?? []).toString('hex');
    assert.equal(hex('192.0.2.1'), 'c0000201');
    assert.equal(hex('::'), '0'.repeat(32));
    assert.equal(hex('::1'), `${'0'.repeat(31)}1`);
    assert.equal(hex('2001:DB8::'), `20010db8${'0'.repeat(24)}`);
    assert.equal(hex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
    assert.equal(hex('1:0:0:4::8'), '00010000000000040000000000000008');
    assert.equal(hex('::ffff:192.0.2.1'), '00000000000000000000ffffc0000201');
  });

  it('preserves every IPv6 address', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const groups = Buffer.from(bytes).toString('hex').match(/.{4}/g)!;
        assert.deepEqual(ipAddressBytes(groups.join(':')), bytes);
      }),
    );
  });

  it('refuses text that is not an address', () => {
    for (const name of [
      '',
      '::g',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      'fe80::1%eth0',
      '[::1]',
      '1.2.3',
      '1.2.3.256',
      '01.2.3.4',
      '1.2.3.4/8',
      ' ::1',
      '::1]@[::2',
      'localhost',
    ]) {
      assert.equal(ipAddressBytes(name), undefined, name);
    }
  });
});
