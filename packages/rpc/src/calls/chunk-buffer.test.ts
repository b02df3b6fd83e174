import assert from 'node:assert/strict';
import test from 'node:test';
import { inMessages, inPieces, Pieces } from './chunk-buffer.ts';
import { UnfinishedBytes } from './unfinished-bytes.ts';

/** The bytes that the chunks keep in memory. */
function heldBytes(pieces: Pieces): number {
  const buffers = new Set<ArrayBufferLike>();
  for (let piece = pieces.shift(); piece; piece = pieces.shift()) buffers.add(piece.buffer);
  return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));

for (const size of [1, 7, 300, 513, 1024, 4000]) {
  test(`pieces of ${size} bytes keep their content, and use little more memory than their size`, () => {
    const [pieces, same] = [new Pieces(), new Pieces()];
    for (let at = 0; at < bytes.length; at += size) {
      pieces.push(Uint8Array.from(bytes.subarray(at, at + size)));
      same.push(Uint8Array.from(bytes.subarray(at, at + size)));
      assert.equal(pieces.byteLength, Math.min(at + size, bytes.length));
    }
    assert.deepEqual(Buffer.from(same.peek()), bytes);
    assert.deepEqual(Buffer.from(same.take()), bytes);
    assert.equal(same.byteLength, 0);
    const held = heldBytes(pieces);
    assert.ok(held < 2 * bytes.length, `${held} bytes`);
  });
}

test('a returned chunk does not change when more bytes arrive', () => {
  const pieces = new Pieces();
  for (const byte of [1, 2]) pieces.push(Uint8Array.of(byte));
  const first = pieces.shift();
  pieces.push(Uint8Array.of(3));
  pieces.push(Uint8Array.of(4));
  const second = pieces.peek();
  pieces.push(Uint8Array.of(5));
  assert.deepEqual([...first!], [1, 2]);
  assert.deepEqual([...second], [3, 4]);
  assert.deepEqual([...pieces.take()], [3, 4, 5]);
});

test('a large chunk is not copied', () => {
  const large = new Uint8Array(1024);
  const pieces = new Pieces();
  pieces.push(large);
  pieces.push(Uint8Array.of(1));
  assert.equal(pieces.shift(), large);
});

function message(size: number): Buffer {
  const whole = Buffer.alloc(5 + size, 7);
  whole[0] = 0;
  whole.writeUInt32BE(size, 1);
  return whole;
}

async function* inChunks(body: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += size) yield body.subarray(at, at + size);
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for await (const bytes of body) all.push(Buffer.from(bytes));
  return all;
}

for (const size of [1, 3, 5, 6, 1000, 100_000]) {
  test(`a body in chunks of ${size} is cut after each message`, async () => {
    const messages = [message(0), message(3), message(2000), message(0), message(1)];
    const cut = await collect(inMessages(inChunks(Buffer.concat(messages), size), 2000));
    assert.deepEqual(Buffer.concat(cut), Buffer.concat(messages));
    const ends = new Set(messages.map((_, index) => Buffer.concat(messages.slice(0, index + 1)).length));
    let at = 0;
    for (const piece of cut) {
      at += piece.length;
      assert.ok(ends.has(at), `cut at ${at}`);
    }
    if (size === 1) assert.equal(cut.length, messages.length);
  });
}

test('a message is passed on when it is complete, without waiting for the next message', async () => {
  const never = new Promise<never>(() => {});
  const body = (async function* () {
    yield message(3).subarray(0, 4);
    yield message(3).subarray(4);
    await never;
  })();
  assert.deepEqual(Buffer.from((await inMessages(body, 10).next()).value!), message(3));
});

test('an incomplete message at the end, or a message that is too large, is left to the reader', async () => {
  const half = message(10).subarray(0, 9);
  assert.deepEqual(await collect(inMessages(inChunks(half, 2), 10)), [half]);
  const large = message(11);
  const [first] = await collect(inMessages(inChunks(large, 1), 10));
  assert.deepEqual(first, large.subarray(0, 5));
});

test('a body that is read completely arrives in few pieces', async () => {
  const pieces = await collect(inPieces(inChunks(bytes, 1)));
  assert.deepEqual(Buffer.concat(pieces), bytes);
  assert.ok(pieces.length < 100, `${pieces.length}`);
});

test('a small piece of a large buffer does not keep the whole buffer in memory', () => {
  const pieces = new Pieces();
  const record = Buffer.alloc(16_384);
  for (const size of [1, 600, 2_000, 8_000]) {
    pieces.push(record.subarray(100, 100 + size));
    const kept = pieces.shift()!;
    assert.equal(kept.length, size);
    assert.ok(kept.buffer.byteLength <= 2 * size, `${kept.buffer.byteLength} bytes for ${size}`);
  }
  pieces.push(record.subarray(10));
  assert.equal(pieces.shift()!.buffer, record.buffer);
});

test('the last message of a stream counts until the stream sends more or ends', async () => {
  const unfinished = new UnfinishedBytes();
  const held = unfinished.of({}).call();
  const counted = [];
  for await (const bytes of inMessages(inChunks(Buffer.concat([message(9), message(5)]), 7), 10, held))
    counted.push([bytes.length, unfinished.bytes]);
  assert.deepEqual(counted, [
    [14, 14],
    [10, 10],
  ]);
  assert.equal(unfinished.bytes, 10);
  held.end();
  assert.equal(unfinished.bytes, 0);
});
