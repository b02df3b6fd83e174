// How a device reads its records of the daemon's addresses, even when they are damaged.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from '../errors.ts';
import { MemorySecretStore } from '../secret-store/memory.ts';
import {
  loadEndpoints,
  nodeEndpoints,
  pairingEndpoints,
  quicEndpoints,
  storeEndpointsByHand,
  storeToldEndpoints,
} from './endpoints.ts';

const paired = { root: 'ab', address: 'one.example:7443', nodeAddress: 'one.example:7444' };
const told = { pairing: ['two.example:7443'], node: ['two.example:7444'], quic: [], web: [] };

test('stored addresses are read back, including the zone of an address that was set by hand', async () => {
  const secrets = new MemorySecretStore();
  const byHand = { node: ['[fe80::1%eth0]:7444'] };
  await storeToldEndpoints(secrets, paired, told);
  await storeEndpointsByHand(secrets, paired.root, byHand);
  assert.deepEqual(await loadEndpoints(secrets, paired.root), { told, byHand });
  assert.deepEqual(await loadEndpoints(secrets, 'cd'), {}, 'each daemon has its own records');
});

const damaged = [
  '',
  '{',
  'null',
  '7',
  '"two.example:7444"',
  '[["two.example:7444"]]',
  '{"node":"two.example:7444"}',
  '{"node":{"length":1}}',
  '{"node":[7]}',
  '{"node":["two.example"]}',
  '{"node":["TWO.example:7444"]}',
  '{"node":["two.example:7444\\u001b[2J"]}',
  `{"node":["${'a'.repeat(60_000)}:7444"]}`,
  JSON.stringify({ node: Array.from({ length: 9 }, (_, at) => `two.example:${1 + at}`) }),
  '{"else":["two.example:7444"]}',
];

for (const what of ['told', 'by-hand']) {
  test(`with a damaged record "${what}", the address of the pairing is used`, async () => {
    for (const text of [...damaged, ...(what === 'by-hand' ? ['{"node":[],"pairing":[]}'] : [])]) {
      const secrets = new MemorySecretStore();
      await secrets.write(`endpoints/${paired.root}/${what}`, new TextEncoder().encode(text));
      const known = { ...paired, ...(await loadEndpoints(secrets, paired.root)) };
      assert.deepEqual(known, paired, text.slice(0, 60));
      assert.deepEqual(nodeEndpoints(known), [paired.nodeAddress]);
      assert.deepEqual(pairingEndpoints(known), [paired.address]);
      assert.deepEqual(quicEndpoints(known), []);
    }
  });
}

test('an unreadable record counts as missing, and a failing store is an error', async () => {
  const secrets = new MemorySecretStore();
  secrets.read = async () => {
    throw new IdentityError('SECRET_CORRUPT', 'It was changed.');
  };
  assert.deepEqual(await loadEndpoints(secrets, paired.root), {});
  secrets.read = async () => {
    throw new IdentityError('STORE_FAILED', 'The disk is gone.');
  };
  await assert.rejects(loadEndpoints(secrets, paired.root), { code: 'STORE_FAILED' });
});
