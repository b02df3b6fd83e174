// A device that is run repeatedly with one code gives an interceptor three guesses, which the device counts.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { SecretStore } from '@palyra/identity';
import { type PairingPeer, requestPairing } from '@palyra/identity/device';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { codeMustHaveTries, takeTry } from '../../packages/identity/src/pairing/code-tries.ts';
import { openSecrets } from '../testing/device-home.ts';
import { expectCode } from '../testing/expect-code.ts';
import { day, HeldClock, hour } from '../testing/held-clock.ts';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { failure, makeHome, palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice } from '../testing/sample-device.ts';
import { wrongPin } from '../testing/wrong-code.ts';

/** An interceptor who does not know the code, with any number of connections and answers. */
async function interceptor(t: TestContext) {
  const identity = await openIdentity(t);
  const { code: text } = await identity.desk.mint({ kind: 'typed', address: 'localhost:7443' });
  const seen: string[] = [];
  const peer = (): PairingPeer => {
    const real = peerOf(identity);
    return {
      ...real,
      open: (call) => {
        seen.push('open');
        return real.open(call);
      },
      exchange: (call) => {
        seen.push('exchange');
        return real.exchange(call);
      },
    };
  };
  return { code: wrongPin(text), peer, seen };
}

test('seven runs of a device with one code give an interceptor three guesses, and the rest sends nothing', async (t) => {
  const { code, peer, seen } = await interceptor(t);
  const device = await makeDevice();
  const codes: string[] = [];
  for (let run = 0; run < 7; run += 1) {
    const error = await requestPairing(device, peer(), code, 'localhost:7443').catch((each) => each);
    codes.push(error.code);
  }
  assert.deepEqual(codes, [
    ...Array.from({ length: 3 }, () => 'DAEMON_NOT_AUTHENTICATED'),
    ...Array.from({ length: 4 }, () => 'TOO_MANY_TRIES'),
  ]);
  assert.deepEqual(seen, ['open', 'exchange', 'open', 'exchange', 'open', 'exchange']);
  assert.deepEqual(await device.secrets.list('enrollments/'), []);
});

test('simultaneous runs are counted separately', async (t) => {
  const { code, peer } = await interceptor(t);
  const device = await makeDevice();
  const runs = Array.from({ length: 8 }, () => requestPairing(device, peer(), code, 'localhost:7443'));
  const codes = (await Promise.allSettled(runs)).map((each) =>
    each.status === 'rejected' ? each.reason.code : 'paired',
  );
  assert.equal(codes.filter((each) => each === 'DAEMON_NOT_AUTHENTICATED').length, 3);
  assert.equal(codes.filter((each) => each === 'TOO_MANY_TRIES').length, 5);
});

test('the count survives the end of the program, and another code has its own', async (t) => {
  const home = await makeHome(t);
  const { code, peer } = await interceptor(t);
  const run = async (typed: PairingCode) => {
    const secrets = await openSecrets(home);
    try {
      const device = { ...(await makeDevice()), secrets: secrets as SecretStore };
      return await requestPairing(device, peer(), typed, 'localhost:7443').catch((each) => each.code);
    } finally {
      await secrets.close();
    }
  };
  for (let n = 0; n < 3; n += 1) assert.equal(await run(code), 'DAEMON_NOT_AUTHENTICATED');
  assert.equal(await run(code), 'TOO_MANY_TRIES');
  const other = { ...code, secret: new TextEncoder().encode('000000') };
  const another = Buffer.from(other.secret).equals(code.secret) ? wrongPin('417-000000') : other;
  assert.equal(await run({ ...another, slot: code.slot }), 'DAEMON_NOT_AUTHENTICATED');
});

test('an Exchange that is refused or aborted does not count, because the peer learnt nothing', async (t) => {
  const { code, peer } = await interceptor(t);
  const device = await makeDevice();
  const breaking = { ...peer(), exchange: () => Promise.reject(new Error('gone')) };
  for (let run = 0; run < 5; run += 1)
    await assert.rejects(requestPairing(device, breaking, code, 'localhost:7443'), /gone/);
  await expectCode(requestPairing(device, peer(), code, 'localhost:7443'), 'DAEMON_NOT_AUTHENTICATED');
});

test('the record is bounded, forgets after a day, survives a clock that was set back, and does not reveal a code', async () => {
  const clock = new HeldClock();
  const device = { ...(await makeDevice({ clock })), clock };
  const first = parsePairingCode('417-093582');
  for (let n = 0; n < 3; n += 1) await takeTry(device, first);
  clock.advance(-2 * hour);
  await expectCode(codeMustHaveTries(device, first), 'TOO_MANY_TRIES');
  await expectCode(takeTry(device, first), 'TOO_MANY_TRIES');
  clock.advance(2 * hour + day - 1);
  await expectCode(codeMustHaveTries(device, first), 'TOO_MANY_TRIES');
  clock.advance(1);
  await codeMustHaveTries(device, first);
  for (let n = 0; n < 100; n += 1)
    await takeTry(device, parsePairingCode(`500${String(n).padStart(6, '0')}`));
  const record = new TextDecoder().decode(await device.secrets.read('pairing/code-tries'));
  const { codes } = JSON.parse(record);
  assert.equal(codes.length, 32);
  assert.ok(record.length < 8192);
  assert.ok(!record.includes('500000099') && !record.includes('000099"'), record);
});

test('the command reports it, and asks for a new code', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code, pairingId } = await daemon.admin.mintCode({});
  const wrong = new TextDecoder().decode(wrongPin(code).secret);
  const home = await makeHome(t);
  const run = () =>
    palyra(['pair', daemon.pairingAddress, '--code-stdin'], { home, stdin: `${code.slice(0, 3)}${wrong}\n` });
  for (let n = 0; n < 3; n += 1) await failure(run(), { code: 'DAEMON_NOT_AUTHENTICATED', exitCode: 3 });
  const message = await failure(run(), { code: 'TOO_MANY_TRIES', exitCode: 3 });
  assert.match(message, /may be an interceptor/);
  assert.equal((await daemon.admin.getPairing({ id: pairingId })).failedGuesses, 3);
});
