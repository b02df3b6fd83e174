// Which of QUIC and HTTP/2 a dial comes back with, and how often it asks.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { PairedEnrollment } from '@palyra/identity/device';
import { IdentityError } from '@palyra/identity/device';
import type { NodeConnection } from '@palyra/rpc';
import { quicFirst } from './dial.ts';

const enrollment = {
  quicAddress: '192.0.2.7:7444',
  nodeAddress: '192.0.2.7:7444',
} as Partial<PairedEnrollment> as PairedEnrollment;
const silent = new IdentityError('UNREACHABLE', 'No answer over QUIC.');

/** A dial over listeners that answer or not; `went` is what was asked, and what was closed. */
function network() {
  const went: string[] = [];
  const answers = { quic: [] as boolean[], http2: true };
  const connection = (name: 'quic' | 'http2') =>
    ({
      name,
      closed: new Promise(() => {}),
      close: () => went.push(`close ${name}`),
    }) as unknown as NodeConnection;
  const dial = quicFirst(
    async () => {
      went.push('quic');
      if (!answers.quic.shift()) throw silent;
      return connection('quic');
    },
    async () => {
      went.push('http2');
      if (!answers.http2) throw new IdentityError('UNREACHABLE', 'No daemon answers.');
      return connection('http2');
    },
  );
  return { went, answers, dial };
}

test('a daemon that comes back between the two dials is taken over QUIC', async () => {
  const { went, answers, dial } = network();
  answers.quic = [true, false, true];
  assert.equal((await dial(enrollment)).name, 'quic');
  assert.equal((await dial(enrollment)).name, 'quic');
  assert.deepEqual(went, ['quic', 'quic', 'http2', 'quic', 'close http2']);
});

test('so is one that was away before', async () => {
  const { answers, dial } = network();
  answers.quic = [false, false, true];
  answers.http2 = false;
  await assert.rejects(dial(enrollment), { code: 'UNREACHABLE' });
  answers.http2 = true;
  assert.equal((await dial(enrollment)).name, 'quic');
});

test('where UDP does not get through, QUIC is asked once for each connection', async () => {
  const { went, answers, dial } = network();
  assert.equal((await dial(enrollment)).quicProblem, silent.message);
  assert.deepEqual(went, ['quic', 'http2']);
  answers.quic = [true];
  await dial(enrollment);
  // Blocked from here on: asked again once, and no more.
  await dial(enrollment);
  assert.equal((await dial(enrollment)).name, 'http2');
  assert.deepEqual(went.slice(2), ['quic', 'quic', 'http2', 'quic', 'quic', 'http2']);
});
