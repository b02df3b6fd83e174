// The settings for the limits of a daemon's web listener.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { pairingPeer } from '@palyra/rpc';
import { dialPairingWeb } from '@palyra/transport-websocket';
import { expectCode } from '../testing/expect-code.ts';
import { TestDaemon, type TestDaemonOptions } from '../testing/running-daemon.ts';
import { within } from '../testing/until.ts';

async function start(t: TestContext, limits: TestDaemonOptions['limits']) {
  const daemon = await TestDaemon.start(t, { web: { port: 0 }, limits });
  const dial = async () => {
    const channel = await dialPairingWeb(daemon.webAddress);
    daemon.closeAtEnd(channel);
    return channel;
  };
  const ask = async () =>
    pairingPeer(await dial()).open({ version: 2, slot: Buffer.from('000'), kind: 'cli' });
  return { dial, ask };
}

test('webConnections bounds the channels', async (t) => {
  const { ask } = await start(t, { webConnections: 1 });
  assert.ok(await ask());
  await expectCode(ask(), 'TOO_MANY_SESSIONS');
});

test('strangersPerSource bounds the channels of one source', async (t) => {
  const { ask } = await start(t, { strangersPerSource: 1 });
  assert.ok(await ask());
  await expectCode(ask(), 'UNREACHABLE');
});

test('webIdleTimeoutMs bounds the silence of a device', async (t) => {
  const { dial } = await start(t, { webIdleTimeoutMs: 100 });
  await within('the cut', (await dial()).closed);
});

test('strangerIdleMs bounds the time without a call', async (t) => {
  const { dial } = await start(t, { strangerIdleMs: 1, handshakeTimeoutMs: 1_500 });
  await within('the cut', (await dial()).closed);
});
