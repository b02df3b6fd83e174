import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  bitString,
  booleanTrue,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  sequenceHeading,
  time,
} from './der.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

describe('DER', () => {
  it('writes lengths in the shortest form', () => {
    for (const [size, header] of [
      [0, '0400'],
      [127, '047f'],
      [128, '048180'],
      [255, '0481ff'],
      [256, '04820100'],
      [65535, '0482ffff'],
      [65536, '0483010000'],
      [0xffffff, '0483ffffff'],
      [0x1000000, '048401000000'],
    ] as const) {
      const encoded = octetString(new Uint8Array(size));
      assert.equal(hex(encoded.subarray(0, encoded.length - size)), header);
    }
    assert.equal(hex(sequenceHeading(0xffff_ffff)), '3084ffffffff');
    assert.throws(() => sequenceHeading(0x1_0000_0000), TypeError);
  });

  it('writes every integer in the shortest two’s-complement form that is not negative', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (magnitude) => {
        const [tag, length, ...contents] = integer(magnitude);
        assert.equal(tag, 0x02);
        assert.equal(length, contents.length);
        const digits = hex(Uint8Array.from(contents));
        assert.equal(BigInt(`0x${digits}`), BigInt(`0x0${hex(magnitude)}`));
        assert.ok(contents[0]! < 0x80, 'not negative');
        assert.ok(contents.length === 1 || contents[0] !== 0 || contents[1]! >= 0x80, 'no unnecessary byte');
      }),
    );
  });

  it('writes the object identifiers of the standards', () => {
    assert.equal(hex(objectIdentifier('2.5.29.17')), '0603551d11');
    assert.equal(hex(objectIdentifier('1.2.840.10045.4.3.2')), '06082a8648ce3d040302');
    assert.equal(hex(objectIdentifier('1.2.840.113549.1.1.11')), '06092a864886f70d01010b');
  });

  it('writes TRUE, bit strings and nesting as X.690 says', () => {
    assert.equal(hex(booleanTrue), '0101ff');
    assert.equal(hex(bitString(Uint8Array.of(0x80), 7)), '03020780');
    assert.equal(hex(sequence(booleanTrue, sequence())), '30050101ff3000');
  });

  it('changes from UTCTime to GeneralizedTime with the year 2050', () => {
    assert.equal(text(time(new Date('1950-01-01T00:00:00Z'))), '\x17\x0d500101000000Z');
    assert.equal(text(time(new Date('2049-12-31T23:59:59.999Z'))), '\x17\x0d491231235959Z');
    assert.equal(text(time(new Date('2050-01-01T00:00:00Z'))), '\x18\x0f20500101000000Z');
    assert.equal(text(time(new Date('9999-12-31T23:59:59Z'))), '\x18\x0f99991231235959Z');
  });

  it('refuses instants that a certificate cannot hold', () => {
    for (const instant of ['1949-12-31T23:59:59Z', '+010000-01-01T00:00:00Z', 'never']) {
      assert.throws(() => time(new Date(instant)), TypeError);
    }
  });
});
