import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeFrame, type Frame } from './frame.ts';
import type { MessageSocket } from './message-socket.ts';
import { CipherState } from './noise/cipher-state.ts';
import { webCrypto } from './noise/web-crypto.ts';
import { Outbox } from './outbox.ts';

function outbox(room: Promise<void> | undefined) {
  const failures: unknown[] = [];
  const socket: MessageSocket = {
    send: () => room,
    close() {},
    terminate() {},
    hear() {},
    pause() {},
    resume() {},
  };
  const cipher = new CipherState(new Uint8Array(32), webCrypto);
  return { failures, out: new Outbox(socket, cipher, (error) => failures.push(error)) };
}

const replies: Frame[] = [
  { type: 'pong', value: 0 },
  { type: 'reset', stream: 1, number: 1 },
];
const others: Frame[] = [
  { type: 'ping', value: 0 },
  { type: 'end', stream: 1 },
  { type: 'data', stream: 1, bytes: new Uint8Array(1) },
];

describe('an outbox whose peer does not read', () => {
  for (const frame of replies) {
    it(`keeps a limited number of ${frame.type.toUpperCase()} frames, and then ends the connection`, () => {
      const { out, failures } = outbox(new Promise(() => {}));
      const bytes = encodeFrame(frame);
      for (let sent = 0; sent < 2_000; sent++) void out.put(bytes);
      assert.equal(failures.length, 0);
      for (let sent = 0; sent < 10; sent++) void out.put(bytes);
      assert.equal(failures.length, 1);
    });
  }

  it('keeps the frames that this side began, and makes the writer wait', () => {
    const { out, failures } = outbox(new Promise(() => {}));
    for (const frame of others) for (let sent = 0; sent < 10_000; sent++) void out.put(encodeFrame(frame));
    assert.equal(failures.length, 0);
  });
});

it('an outbox whose peer reads sends any number of replies', async () => {
  const { out, failures } = outbox(undefined);
  for (let round = 0; round < 5; round++) {
    for (let sent = 0; sent < 1_500; sent++) void out.put(encodeFrame(replies[0]!));
    await new Promise<void>((resolve) => out.whenEmpty(resolve));
  }
  assert.equal(failures.length, 0);
});
