import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IdentityError, type IdentityErrorCode } from '@palyra/identity';
import fc from 'fast-check';
import { encodeFrame, type Frame, FrameParser } from './frame.ts';
import { encodeVarint } from './varint.ts';

const headers = fc
  .array(
    fc.tuple(
      fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
      fc.stringMatching(/^[\x21-\x7e\x80-\xff]([\x20-\x7e]{0,40}[\x21-\x7e])?$/),
    ),
    { maxLength: 20 },
  )
  .map((entries) => new Headers(entries));

const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    type: fc.constant('request' as const),
    path: fc.stringMatching(/^\/[\x21-\x7e]{1,60}$/),
    headers,
  }),
  fc.record({ type: fc.constant('response' as const), status: fc.integer({ min: 200, max: 599 }), headers }),
  fc.record({ type: fc.constant('trailers' as const), headers }),
  fc.record({
    type: fc.constant('data' as const),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 20_000 }),
  }),
  fc.constant({ type: 'end' as const }),
  fc.record({ type: fc.constant('window' as const), bytes: fc.integer({ min: 1, max: 0x3fff_ffff }) }),
);

describe('frames of a call', () => {
  it('are decoded unchanged, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frames, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1 }),
        (sent, cuts) => {
          const bytes = Buffer.concat(sent.map((frame) => encodeFrame(frame)));
          const parser = new FrameParser();
          const received: Frame[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = cuts[i % cuts.length]!;
            received.push(...parser.push(bytes.subarray(at, at + size)));
            at += size;
          }
          parser.end();
          assert.deepEqual(received.map(plain), sent.map(plain));
        },
      ),
    );
  });

  it('are encoded as docs/quic.md says', () => {
    const request: Frame = { type: 'request', path: '/a.B/C', headers: new Headers({ te: 'trailers' }) };
    assert.equal(hex(request), '011306' + '2f612e422f43' + '027465' + '08747261696c657273');
    assert.equal(hex({ type: 'response', status: 200, headers: new Headers() }), '0202' + '40c8');
    assert.equal(hex({ type: 'data', bytes: Buffer.from('abc') }), '0303616263');
    assert.equal(hex({ type: 'end' }), '0400');
    assert.equal(
      hex({ type: 'trailers', headers: new Headers({ 'grpc-status': '0' }) }),
      '050e0b677270632d7374617475730130',
    );
    assert.equal(hex({ type: 'window', bytes: 131_072 }), '0604' + '80020000');
  });

  const bad: [name: string, bytes: Uint8Array, code: IdentityErrorCode][] = [
    ['an unknown type', raw(0x07, ''), 'MESSAGE_INVALID'],
    ['data over its limit', Buffer.from([0x03, 0x80, 0x01, 0x00, 0x01]), 'MESSAGE_TOO_LARGE'],
    ['headers over their limit', Buffer.from([0x01, 0x80, 0x00, 0x40, 0x01]), 'MESSAGE_TOO_LARGE'],
    ['an end with a payload', raw(0x04, '00'), 'MESSAGE_TOO_LARGE'],
    ['a length of eight bytes', Buffer.from([0x03, 0xc0, 0, 0, 0, 0, 0, 0, 1]), 'MESSAGE_TOO_LARGE'],
    ['data without bytes', raw(0x03, ''), 'MESSAGE_INVALID'],
    ['a window of no bytes', raw(0x06, '00'), 'MESSAGE_INVALID'],
    ['a window with extra bytes', raw(0x06, '0101'), 'MESSAGE_INVALID'],
    ['a window without a number', raw(0x06, ''), 'MESSAGE_INVALID'],
    ['a request without a path', raw(0x01, ''), 'MESSAGE_INVALID'],
    ['a path longer than the frame', raw(0x01, '082f61'), 'MESSAGE_INVALID'],
    ['a path that does not start with a slash', raw(0x01, '0161'), 'MESSAGE_INVALID'],
    ['a path with a line break', raw(0x01, '032f610a'), 'MESSAGE_INVALID'],
    ['a response without a status', raw(0x02, ''), 'MESSAGE_INVALID'],
    ['an invalid status', raw(0x02, '01'), 'MESSAGE_INVALID'],
    ['a header name in capitals', raw(0x05, '0141' + '0162'), 'MESSAGE_INVALID'],
    ['an empty header name', raw(0x05, '00' + '0162'), 'MESSAGE_INVALID'],
    ['a header value with a line break', raw(0x05, '0161' + '03620a62'), 'MESSAGE_INVALID'],
    ['a header without a value', raw(0x05, '0161'), 'MESSAGE_INVALID'],
    ['a truncated header value', raw(0x05, '0161' + '0562'), 'MESSAGE_INVALID'],
    ['more than 128 headers', raw(0x05, '01610162'.repeat(129)), 'MESSAGE_INVALID'],
  ];
  for (const [name, bytes, code] of bad) {
    it(`refuse ${name}`, () => {
      assert.throws(
        () => new FrameParser().push(bytes),
        (error) => error instanceof IdentityError && error.code === code,
      );
    });
  }

  it('refuse a stream that ends within a frame', () => {
    const parser = new FrameParser();
    assert.deepEqual(parser.push(Buffer.from([0x03, 0x05, 0x61])), []);
    assert.throws(() => parser.end(), { code: 'MESSAGE_INVALID' });
  });

  it('throw only our own errors on random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }), (chunks) => {
        const parser = new FrameParser();
        try {
          for (const chunk of chunks) parser.push(chunk);
          parser.end();
        } catch (error) {
          assert.ok(error instanceof IdentityError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('are not encoded with headers that the peer would refuse', () => {
    const headers = new Headers({ a: 'x'.repeat(16_384) });
    assert.throws(() => encodeFrame({ type: 'trailers', headers }), { code: 'MESSAGE_TOO_LARGE' });
  });
});

const hex = (frame: Frame) => Buffer.from(encodeFrame(frame)).toString('hex');

const plain = (frame: Frame) => ({
  ...frame,
  ...('headers' in frame ? { headers: [...frame.headers] } : {}),
  ...('bytes' in frame && typeof frame.bytes !== 'number'
    ? { bytes: Buffer.from(frame.bytes).toString('hex') }
    : {}),
});

function raw(type: number, payload: string): Uint8Array {
  const bytes = Buffer.from(payload, 'hex');
  return Buffer.concat([Uint8Array.of(type), encodeVarint(bytes.length), bytes]);
}
