// Whether a dial returns QUIC or HTTP/2, and how often it tries QUIC.

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

/** A dial to listeners that may or may not answer. `went` records the attempts and the closed connections. */
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

test('a daemon that returns between the two dials is connected over QUIC', async () => {
  const { went, answers, dial } = network();
  answers.quic = [true, false, true];
  assert.equal((await dial(enrollment)).name, 'quic');
  assert.equal((await dial(enrollment)).name, 'quic');
  assert.deepEqual(went, ['quic', 'quic', 'http2', 'quic', 'close http2']);
});

test('a daemon that was away before is connected over QUIC', async () => {
  const { answers, dial } = network();
  answers.quic = [false, false, true];
  answers.http2 = false;
  await assert.rejects(dial(enrollment), { code: 'UNREACHABLE' });
  answers.http2 = true;
  assert.equal((await dial(enrollment)).name, 'quic');
});

test('where UDP is blocked, QUIC is tried once for each connection', async () => {
  const { went, answers, dial } = network();
  assert.equal((await dial(enrollment)).quicProblem, silent.message);
  assert.deepEqual(went, ['quic', 'http2']);
  answers.quic = [true];
  await dial(enrollment);
  // UDP is blocked from here on. QUIC is tried once more.
  await dial(enrollment);
  assert.equal((await dial(enrollment)).name, 'http2');
  assert.deepEqual(went.slice(2), ['quic', 'quic', 'http2', 'quic', 'quic', 'http2']);
});
