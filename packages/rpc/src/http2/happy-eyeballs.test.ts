import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { hasCode, IdentityError } from '@palyra/identity';
import { dialAddresses, interleaved, race } from './happy-eyeballs.ts';

const [v6, v4] = ['2001:db8::1', '192.0.2.1'];
const unreachable = new IdentityError('UNREACHABLE', 'No answer.');

test('the address families alternate, beginning with the family of the resolver’s first address', () => {
  assert.deepEqual(interleaved(['::1', '::2', '::3', '1.1.1.1', '2.2.2.2']), [
    '::1',
    '1.1.1.1',
    '::2',
    '2.2.2.2',
    '::3',
  ]);
  assert.deepEqual(interleaved(['1.1.1.1', '2.2.2.2', '3.3.3.3', '::1']), [
    '1.1.1.1',
    '::1',
    '2.2.2.2',
    '3.3.3.3',
  ]);
  assert.deepEqual(interleaved(['1.1.1.1', '::1', '::2', '::3']), ['1.1.1.1', '::1', '::2', '::3']);
  assert.deepEqual(interleaved([]), []);
});

test('a name with a thousand addresses causes eight attempts', () => {
  const many = Array.from({ length: 1000 }, (_, at) => `10.0.${at >> 8}.${at & 255}`);
  assert.deepEqual(interleaved(many), many.slice(0, 8));
});

/** Attempts that end when the test says so. */
function attempts() {
  const begun: string[] = [];
  const given: string[] = [];
  const settlers = new Map<string, PromiseWithResolvers<string>>();
  const connect = (address: string, signal: AbortSignal) => {
    begun.push(address);
    signal.addEventListener('abort', () => given.push(address));
    const settler = Promise.withResolvers<string>();
    settlers.set(address, settler);
    return settler.promise;
  };
  return { begun, given, connect, of: (address: string) => settlers.get(address)! };
}

test('when an address fails, the next attempt begins at once', async (t: TestContext) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { begun, connect, of } = attempts();
  const dialled = race([v6, v4], connect, () => {});
  assert.deepEqual(begun, [v6]);
  of(v6).reject(unreachable);
  await new Promise(setImmediate);
  assert.deepEqual(begun, [v6, v4]);
  of(v4).resolve('v4');
  assert.equal(await dialled, 'v4');
});

test('a silent address is joined by the next one after 250 ms, and given up when that one answers', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { begun, given, connect, of } = attempts();
  const late: string[] = [];
  const dialled = race([v6, v4, '192.0.2.2'], connect, (connection) => late.push(connection));
  t.mock.timers.tick(249);
  assert.deepEqual(begun, [v6]);
  t.mock.timers.tick(1);
  assert.deepEqual(begun, [v6, v4]);
  of(v4).resolve('v4');
  assert.equal(await dialled, 'v4');
  assert.ok(given.includes(v6));
  t.mock.timers.tick(1_000);
  assert.deepEqual(begun, [v6, v4], 'no further attempt begins');
  of(v6).resolve('v6');
  await new Promise(setImmediate);
  assert.deepEqual(late, ['v6'], 'a late connection is ended');
});

test('when all attempts fail, the most precise error is reported', async () => {
  const another = new IdentityError('DAEMON_NOT_AUTHENTICATED', 'Another.');
  const failing = race(
    [v6, v4],
    (address) => Promise.reject(address === v4 ? another : unreachable),
    () => {},
  );
  await assert.rejects(failing, another);
  await assert.rejects(
    race(
      [v6, v4],
      () => Promise.reject(unreachable),
      () => {},
    ),
    unreachable,
  );
});

test('an address is dialled without a look-up, with its zone; an invalid name is unreachable', async () => {
  for (const address of ['::1', '127.0.0.1', 'fe80::1%lo'])
    assert.equal(
      await dialAddresses(
        address,
        async (each) => each,
        () => {},
      ),
      address,
    );
  await assert.rejects(
    dialAddresses(
      'name.invalid',
      async (each) => each,
      () => {},
    ),
    (error) => hasCode(error, 'UNREACHABLE') && error.message.includes('name.invalid'),
  );
});

test('a name that resolves to no address is unreachable at once', async () => {
  // Node returns this for an empty name.
  const nobody = async () => assert.fail('there is nobody to connect to');
  await assert.rejects(
    dialAddresses('', nobody, () => {}),
    { code: 'UNREACHABLE' },
  );
});
