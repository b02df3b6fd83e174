import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { expectCode } from '../../../../tests/testing/expect-code.ts';
import { openIdentity } from '../../../../tests/testing/in-process.ts';
import { StartGate } from './start-gate.ts';

const unknown = '0'.repeat(64);

async function gateOf(t: TestContext) {
  const identity = await openIdentity(t);
  const asked: string[] = [];
  t.mock.method(identity, 'admit', async (fingerprint: string) => {
    asked.push(fingerprint);
    return 'admitted';
  });
  return { gate: new StartGate(identity), asked };
}

test('a connection that arrives during start-up is admitted once the gate is open, and not before', async (t) => {
  const { gate, asked } = await gateOf(t);
  const admitted = gate.admit(unknown, '127.0.0.1');
  await new Promise(setImmediate);
  assert.deepEqual(asked, []);
  gate.open();
  assert.equal(await admitted, 'admitted');
  assert.deepEqual(asked, [unknown]);
});

test('when the start fails, waiting connections are refused', async (t) => {
  const { gate, asked } = await gateOf(t);
  const admitted = gate.admit(unknown, '127.0.0.1');
  gate.shut();
  await expectCode(admitted, 'UNREACHABLE');
  assert.deepEqual(asked, []);
});

test('a gate that is open stays open', async (t) => {
  const { gate } = await gateOf(t);
  gate.open();
  gate.shut();
  assert.equal(await gate.admit(unknown, '127.0.0.1'), 'admitted');
});
