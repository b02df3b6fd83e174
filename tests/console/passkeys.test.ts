// Passkeys: an act is confirmed for itself alone, on this console, once. Every call is made as a page would make it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { AdminService, dialNode } from '@palyra/rpc';
import { DeviceRole, ErrorInfoSchema } from '@palyra/rpc/admin';
import { ConsoleClient } from '../testing/console-client.ts';
import { expectCode } from '../testing/expect-code.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import { answer } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { SoftPasskey } from '../testing/soft-passkey.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';

const methods = AdminService.method;

interface Page {
  readonly daemon: TestDaemon;
  readonly client: ConsoleClient;
  readonly clock: HeldClock;
}

async function openPage(t: TestContext): Promise<Page> {
  const clock = new HeldClock();
  const daemon = await TestDaemon.start(t, { console: { port: 0 }, clock });
  return { daemon, client: await logIn(daemon), clock };
}

async function logIn(daemon: TestDaemon): Promise<ConsoleClient> {
  const client = new ConsoleClient(daemon);
  const { url } = await daemon.admin.createConsoleLogin({});
  assert.equal((await client.login(url)).status, 200);
  return client;
}

/** @returns the answer, or the stable code of the refusal. */
async function call(
  client: ConsoleClient,
  method: string,
  message: object,
  assertion?: string,
  // biome-ignore lint/suspicious/noExplicitAny: each method has its own fields
): Promise<any> {
  const headers = assertion === undefined ? {} : { 'palyra-assertion': assertion };
  const { status, body } = await client.call(method, message, { headers });
  const parsed = JSON.parse(body);
  if (status === 200) return parsed;
  const [detail] = parsed.details;
  return fromBinary(ErrorInfoSchema, Buffer.from(detail.value, 'base64')).code;
}

/** Asks for the options of an assertion over this act. */
async function begin<M extends DescMethodUnary>(
  client: ConsoleClient,
  method: M,
  message: MessageInitShape<M['input']>,
): Promise<string> {
  const bytes = toBinary(method.input, create(method.input, message));
  const request = Buffer.from(bytes).toString('base64');
  return (await call(client, 'BeginAct', { method: method.name, request })).optionsJson;
}

async function register(client: ConsoleClient, name = 'key', assertion?: string): Promise<SoftPasskey> {
  const passkey = new SoftPasskey();
  const { optionsJson } = await call(client, 'BeginPasskey', {});
  const responseJson = passkey.register(optionsJson, { origin: client.origin });
  const made = await call(client, 'AddPasskey', { name, responseJson }, assertion);
  assert.equal(made.name, name);
  return passkey;
}

test('without a passkey a session is enough; with one, each act that lets in or gives rights asks, and works with it', async (t) => {
  const { daemon, client } = await openPage(t);
  const { origin } = client;
  const device = await makeDevice();
  await pair(daemon, device);
  const { id } = device.identity;
  assert.equal((await call(client, 'SetLabels', { id, labels: ['before'] })).id, id);
  const passkey = await register(client);

  const pending = await request(daemon, await makeDevice({ name: 'other' }));
  const acts = [
    [methods.approvePairing, { id: pending.requestId }],
    [methods.mintCode, { autoApprove: true }],
    [methods.setDeviceRole, { id, role: DeviceRole.OPERATOR }],
    [methods.setLabels, { id, labels: ['after'] }],
    [methods.setHostNames, { id, hostNames: ['nas.example'] }],
    [methods.releaseDevice, { id }],
    [methods.revokeDevices, { ids: [id] }],
  ] as const;
  for (const [method, message] of acts) {
    assert.equal(await call(client, method.name, message), 'PASSKEY_REQUIRED', method.name);
    const options = await begin(client, method as DescMethodUnary, message);
    const done = await call(client, method.name, message, passkey.assert(options, { origin }));
    assert.equal(typeof done, 'object', `${method.name}: ${done}`);
  }
  // What only looks, and the revocation of one device, do not ask.
  const next = await makeDevice();
  await pair(daemon, next);
  for (const [method, message] of [
    ['MintCode', {}],
    ['ListDevices', {}],
    ['RevokeDevice', { id: next.identity.id }],
  ] as const)
    assert.equal(typeof (await call(client, method, message)), 'object', method);
  // The admin socket does not ask either.
  await daemon.admin.mintCode({ autoApprove: true });
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('an assertion is good once, for its act, in its session, on this origin, in time, with the person verified', async (t) => {
  const { daemon, client, clock } = await openPage(t);
  const { origin } = client;
  const [one, two] = [await makeDevice({ name: 'one' }), await makeDevice({ name: 'two' })];
  await pair(daemon, one);
  await pair(daemon, two);
  const passkey = await register(client);
  const method = methods.setDeviceRole;
  const role = DeviceRole.OPERATOR;
  const message = { id: one.identity.id, role };
  const act = () => begin(client, method, message);
  const tryWith = (assertion: string, sent: object = message, by = client) =>
    call(by, method.name, sent, assertion);

  const foreign = new SoftPasskey();
  const other = await logIn(daemon);
  const refused: Record<string, () => Promise<unknown>> = {
    'another device': async () =>
      tryWith(passkey.assert(await act(), { origin }), { id: two.identity.id, role }),
    'another value': async () =>
      tryWith(passkey.assert(await act(), { origin }), { id: one.identity.id, role: DeviceRole.DEVICE }),
    'another call': async () => {
      const options = await begin(client, methods.setLabels, { id: one.identity.id, labels: ['operator'] });
      return tryWith(passkey.assert(options, { origin }));
    },
    'another session': async () => tryWith(passkey.assert(await act(), { origin }), message, other),
    'another port of localhost': async () =>
      tryWith(passkey.assert(await act(), { origin: `http://localhost:${client.port + 1}` })),
    'another site': async () => tryWith(passkey.assert(await act(), { origin: 'https://evil.example' })),
    'another relying party': async () =>
      tryWith(passkey.assert(await act(), { origin, rpId: 'evil.example' })),
    'a made-up challenge': async () =>
      tryWith(passkey.assert(await act(), { origin, challenge: Buffer.alloc(32).toString('base64url') })),
    'a passkey that is not registered': async () => tryWith(foreign.assert(await act(), { origin })),
    'no verification of the person': async () =>
      tryWith(passkey.assert(await act(), { origin, isVerified: false })),
    'too late': async () => {
      const options = await act();
      clock.advance(2 * minute);
      return tryWith(passkey.assert(options, { origin }));
    },
    'a count that was there': async () => {
      const { counter } = passkey;
      assert.equal(typeof (await tryWith(passkey.assert(await act(), { origin }))), 'object');
      await daemon.admin.setDeviceRole({ id: one.identity.id, role: DeviceRole.DEVICE });
      return tryWith(passkey.assert(await act(), { origin, counter }));
    },
    'no JSON': () => tryWith('AAAA'),
    'an empty object': () => tryWith(Buffer.from('{}').toString('base64url')),
    'a registration': async () => {
      const { optionsJson } = await call(client, 'BeginPasskey', {});
      const made = new SoftPasskey().register(optionsJson, { origin });
      return tryWith(Buffer.from(made).toString('base64url'));
    },
  };
  for (const [what, attempt] of Object.entries(refused)) {
    assert.equal(await attempt(), 'PASSKEY_WRONG', what);
    assert.equal(
      (await daemon.admin.getDevice({ id: one.identity.id })).device?.role,
      DeviceRole.DEVICE,
      what,
    );
    assert.equal(
      (await daemon.admin.getDevice({ id: two.identity.id })).device?.role,
      DeviceRole.DEVICE,
      what,
    );
  }
  const once = passkey.assert(await act(), { origin, counter: passkey.counter + 10 });
  assert.equal(typeof (await tryWith(once)), 'object');
  await daemon.admin.setDeviceRole({ id: one.identity.id, role: DeviceRole.DEVICE });
  assert.equal(await tryWith(once), 'PASSKEY_WRONG', 'a replay');
  assert.equal((await daemon.admin.getDevice({ id: one.identity.id })).device?.role, DeviceRole.DEVICE);
});

test('a passkey that does not count, as synced ones, works again and again', async (t) => {
  const { client } = await openPage(t);
  const { origin } = client;
  const passkey = await register(client);
  const message = { autoApprove: true };
  for (let use = 0; use < 3; use += 1) {
    const options = await begin(client, methods.mintCode, message);
    const done = await call(client, 'MintCode', message, passkey.assert(options, { origin, counter: 0 }));
    assert.equal(typeof done, 'object', String(done));
  }
});

test('a restore brings no passkey back that was removed since, and none that came since', async (t) => {
  const { daemon, client } = await openPage(t);
  const { origin } = client;
  const file = join(temporaryFolder(), 'backup.age');
  const first = await register(client, 'first');
  const vouch = async (method: DescMethodUnary, message: object) =>
    first.assert(await begin(client, method, message as never), { origin });
  const add = async (name: string) => {
    const { optionsJson } = await call(client, 'BeginPasskey', {});
    const passkey = new SoftPasskey();
    const added = { name, responseJson: passkey.register(optionsJson, { origin }) };
    const made = await call(client, 'AddPasskey', added, await vouch(methods.addPasskey, added));
    assert.equal(made.name, name);
    return { id: passkey.id.toString('base64url') };
  };
  const lost = await add('lost');
  await backupHome(daemon.home, file, 'correct horse battery', { scryptLogN: 10 });
  await call(client, 'RemovePasskey', lost, await vouch(methods.removePasskey, lost));
  await add('new');
  await daemon.stop();
  await restoreHome(daemon.home, { file, passphrase: 'correct horse battery' });
  const again = await TestDaemon.start(t, { console: { port: 0 }, home: daemon.home });
  const { passkeys } = await again.admin.listPasskeys({});
  assert.deepEqual(
    passkeys.map(({ name }) => name),
    ['first'],
  );
  assert.equal((await again.admin.verifyAudit({})).ok, true);
});

test('another passkey, and the end of one, need one that is registered', async (t) => {
  const { daemon, client } = await openPage(t);
  const { origin } = client;
  const first = await register(client, 'first');
  const second = new SoftPasskey();
  const { optionsJson } = await call(client, 'BeginPasskey', {});
  const responseJson = second.register(optionsJson, { origin });
  const added = { name: 'second', responseJson };
  assert.equal(await call(client, 'AddPasskey', added), 'PASSKEY_REQUIRED');
  // The new one cannot vouch for itself.
  const itself = second.assert(await begin(client, methods.addPasskey, added), { origin });
  assert.equal(await call(client, 'AddPasskey', added, itself), 'PASSKEY_WRONG');
  const vouched = first.assert(await begin(client, methods.addPasskey, added), { origin });
  assert.equal((await call(client, 'AddPasskey', added, vouched)).name, 'second');
  // The same answer of the browser does not register twice.
  const again = first.assert(await begin(client, methods.addPasskey, added), { origin });
  assert.equal(await call(client, 'AddPasskey', added, again), 'PASSKEY_WRONG');

  const gone = { id: first.id.toString('base64url') };
  assert.equal(await call(client, 'RemovePasskey', gone), 'PASSKEY_REQUIRED');
  const consent = second.assert(await begin(client, methods.removePasskey, gone), { origin });
  assert.equal((await call(client, 'RemovePasskey', gone, consent)).name, 'first');
  const { passkeys } = await daemon.admin.listPasskeys({});
  assert.deepEqual(
    passkeys.map(({ name }) => name),
    ['second'],
  );
  const late = first.assert(await begin(client, methods.mintCode, { autoApprove: true }), { origin });
  assert.equal(await call(client, 'MintCode', { autoApprove: true }, late), 'PASSKEY_WRONG');
  const { entries } = await daemon.admin.listAudit({ family: 'operator' });
  const rows = entries.map(({ action, detailJson }) => ({ action, ...JSON.parse(detailJson) })).reverse();
  assert.deepEqual(
    rows.map(({ action, name, act, by }) => [action.replace('operator.passkey_', ''), name, act ?? by]),
    [
      ['added', 'first', 'console'],
      ['used', 'first', 'AddPasskey'],
      ['added', 'second', 'console'],
      ['used', 'first', 'AddPasskey'],
      ['used', 'second', 'RemovePasskey'],
      ['removed', 'first', 'console'],
    ],
  );
  assert.equal((await daemon.admin.verifyAudit({})).ok, true);
});

test('a registration from another page, origin or time is none', async (t) => {
  const { daemon, client, clock } = await openPage(t);
  const { origin } = client;
  const add = async (responseJson: string, by = client) =>
    call(by, 'AddPasskey', { name: 'x', responseJson });
  const options = async () => (await call(client, 'BeginPasskey', {})).optionsJson;
  const passkey = new SoftPasskey();
  assert.equal(
    await add(passkey.register(await options(), { origin: 'http://localhost:1' })),
    'PASSKEY_WRONG',
  );
  assert.equal(await add(passkey.register(await options(), { origin, isVerified: false })), 'PASSKEY_WRONG');
  assert.equal(
    await add(passkey.register(await options(), { origin }), await logIn(daemon)),
    'PASSKEY_WRONG',
  );
  const late = passkey.register(await options(), { origin });
  clock.advance(2 * minute);
  assert.equal(await add(late), 'PASSKEY_WRONG');
  for (const bad of ['', '{}', 'null', '{"id":"x","response":{"clientDataJSON":"e30"}}', 'x'.repeat(20_000)])
    assert.equal(await add(bad), 'PASSKEY_WRONG', bad.slice(0, 40));
  const nameless = passkey.register(await options(), { origin });
  const long = await call(client, 'AddPasskey', { name: 'x'.repeat(65), responseJson: nameless });
  assert.equal(long, 'MESSAGE_INVALID');
  for (const [method = '', request = ''] of [
    ['ListDevices', ''],
    ['NoSuchCall', ''],
    ['ApprovePairing', Buffer.from('not protobuf at all').toString('base64')],
  ])
    assert.equal(await call(client, 'BeginAct', { method, request }), 'MESSAGE_INVALID', method);
  assert.deepEqual((await daemon.admin.listPasskeys({})).passkeys, []);
});

test('passkeys are made in the console only, and lost ones are removed at the daemon’s machine', async (t) => {
  const { daemon, client } = await openPage(t);
  await register(client, 'drowned');
  await expectCode(daemon.admin.beginPasskey({}), 'CALLER_NOT_ALLOWED');
  await expectCode(daemon.admin.addPasskey({}), 'CALLER_NOT_ALLOWED');
  await expectCode(daemon.admin.beginAct({}), 'CALLER_NOT_ALLOWED');
  const laptop = await makeDevice();
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
  daemon.closeAtEnd(connection);
  const remote = createClient(AdminService, connection.transport);
  await expectCode(remote.listPasskeys({}), 'CALLER_NOT_ALLOWED');
  await expectCode(remote.removePasskey({ id: 'x' }), 'CALLER_NOT_ALLOWED');

  const { home } = daemon;
  const { passkeys } = await answer(['passkeys', 'list'], { home });
  assert.equal(passkeys[0].name, 'drowned');
  await answer(['passkeys', 'remove', passkeys[0].id.slice(0, 8), '--yes'], { home });
  assert.equal(typeof (await call(client, 'MintCode', { autoApprove: true })), 'object');
});

test('the passkeys are there after a restart', async (t) => {
  const first = await TestDaemon.start(t, { console: { port: 0 } });
  await register(await logIn(first), 'kept');
  await first.stop();
  const daemon = await TestDaemon.start(t, { console: { port: 0 }, home: first.home });
  const client = await logIn(daemon);
  assert.equal(await call(client, 'MintCode', { autoApprove: true }), 'PASSKEY_REQUIRED');
  assert.equal((await daemon.admin.listPasskeys({})).passkeys[0]?.name, 'kept');
});
