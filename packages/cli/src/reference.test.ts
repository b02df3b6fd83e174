import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CliError } from './failure.ts';
import { type ReferenceSource, resolveId, shortId } from './reference.ts';

const ids = ['01KAT0MZP8C4T7T1JQ5Z7K3QX9', '01KAT0MZP8C4T7T1JQ5Z7K3QXA', '01KAT0PPPPC4T7T1JQ5Z1111X9'];
const source: ReferenceSource = {
  noun: 'device',
  notFound: 'DEVICE_NOT_FOUND',
  list: 'palyra devices list',
  ids: () => ids,
};
const isUsage = (error: unknown) => error instanceof CliError && error.code === 'USAGE';

test('a whole id is not looked up, in either case', async () => {
  const unused = { ...source, ids: () => assert.fail('looked up') };
  assert.equal(await resolveId('01KAT0MZP8C4T7T1JQ5Z7K3QXX', unused), '01KAT0MZP8C4T7T1JQ5Z7K3QXX');
  assert.equal(await resolveId('01kat0mzp8c4t7t1jq5z7k3qxx', unused), '01KAT0MZP8C4T7T1JQ5Z7K3QXX');
});

test('the end or the beginning is enough if only one id matches', async () => {
  assert.equal(await resolveId(shortId(ids[0]!), source), ids[0]);
  assert.equal(await resolveId('3qxa', source), ids[1]);
  assert.equal(await resolveId('01KAT0P', source), ids[2]);
});

test('a reference that matches several ids is refused, and the message names them', async () => {
  await assert.rejects(resolveId('01KAT0', source), (error) => {
    assert.ok(isUsage(error));
    assert.match((error as Error).message, /3 devices .*01KAT0MZP8C4T7T1JQ5Z7K3QX9/);
    return true;
  });
});

test('a reference that matches no id is not found', async () => {
  await assert.rejects(resolveId('ZZZZ', source), { code: 'DEVICE_NOT_FOUND' });
});

test('a name is not a reference, and the message gives its id', async () => {
  const named = async (name: string) => ({ laptop: [ids[0]!], 'my box': ids })[name] ?? [];
  const message = (reference: string) =>
    resolveId(reference, { ...source, named }).then(assert.fail, (error: Error) => error.message);
  assert.equal(await message('laptop'), `Use the id: the device called laptop has ${ids[0]}`);
  assert.equal(await message('my box'), `Use the id: the 3 devices called my box have ${ids.join(', ')}`);
  assert.match(await message('desktop'), /^There is no device/);
});

for (const reference of ['', 'X9', 'has space', '-rf', `${ids[0]}0`, '漢字漢字']) {
  test(`"${reference}" is refused without a lookup`, async () => {
    const unused = { ...source, ids: () => assert.fail('looked up') };
    await assert.rejects(resolveId(reference, unused), isUsage);
  });
}
