import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DeviceId, systemClock } from '@palyra/identity';
import type { Hello } from '@palyra/rpc';
import { until } from '../../../tests/testing/until.ts';
import { DeviceChannels } from './device-channels.ts';

const id = '01ARZ3NDEKTSV4RRFFQ69G5FAV' as DeviceId;
const hello = { agentId: new Uint8Array(16), lastSeq: 0n, quicProblem: '' } as Hello;

async function* nothing(): AsyncGenerator<never> {
  await new Promise(() => {});
}

test('a device that was shut out and let in again stays connected', async () => {
  const reconnectMs = 20;
  const channels = new DeviceChannels(systemClock, { reconnectMs });
  const stop = new AbortController();
  const connect = async () => {
    const events = channels.serve(id, hello, nothing(), { transport: 'quic', signal: stop.signal });
    assert.equal((await events.next()).value?.event.case, 'welcome');
    return events.next();
  };
  const first = connect();
  await until('the first connection', () => channels.connected === 1);
  channels.apply({ type: 'device_quarantined', deviceId: id });
  assert.equal((await first).done, true);
  assert.equal(channels.connected, 0);

  const second = connect();
  // Longer than what is still held against it could last.
  await sleep(3 * reconnectMs);
  assert.equal(channels.connected, 1);
  stop.abort();
  assert.equal((await second).done, true);
});
