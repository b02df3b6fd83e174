// A start that fails names all obstacles at once, each with its setting. A failed first start leaves nothing behind.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePort } from '../../../tests/testing/free-port.ts';
import { temporaryFolder } from '../../../tests/testing/temporary-folder.ts';
import type { DaemonConfigInput } from './config.ts';
import { examineHome } from './home/doctor.ts';
import { findDaemon } from './home/home.ts';
import { startDaemon } from './start.ts';

const host = '127.0.0.1';
const free = { host, port: 0 };
const quiet: DaemonConfigInput = { pairing: free, node: free, quic: free, console: { enabled: false } };
/** An address that no machine has (RFC 5737). */
const foreign = '203.0.113.7';

/** Ports that other programs use: TCP and UDP. */
async function takenPorts(t: TestContext) {
  const server = createServer().listen(0, host);
  const socket = createSocket('udp4').bind(0, host);
  t.after(() => [server.close(), socket.close()]);
  await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
  return { tcp: (server.address() as AddressInfo).port, udp: socket.address().port };
}

const settings = ['pairing.port', 'node.host', 'quic.port', 'publish.port', 'metrics.port', 'console.port'];

test('every address that the daemon cannot listen on is named with its setting, at a first and at a later start', async (t) => {
  const { tcp, udp } = await takenPorts(t);
  const config = {
    pairing: { host, port: tcp },
    node: { host: foreign, port: 0 },
    quic: { host, port: udp },
    publish: { port: tcp },
    metrics: { port: tcp },
    console: { port: tcp },
  };
  const home = join(temporaryFolder(), 'new', 'home');
  const refused = () =>
    startDaemon({ home, config }).then(
      () => assert.fail('it started'),
      (error) => error,
    );
  const first = await refused();
  assert.equal(first.code, 'UNREACHABLE');
  for (const setting of settings)
    assert.ok(first.message.includes(`et ${setting}`), `${setting} in ${first.message}`);
  await assert.rejects(access(join(home, '..')), { code: 'ENOENT' });

  const started = await startDaemon({ home, config: quiet });
  await started.close();
  const second = await refused();
  assert.equal(second.code, 'UNREACHABLE');
  for (const setting of settings)
    assert.ok(second.message.includes(`et ${setting}`), `${setting} in ${second.message}`);
  const again = await startDaemon({ home, config: quiet });
  await again.close();
  assert.equal(again.trustDomain, started.trustDomain);
});

for (const name of ['pairing', 'node', 'quic', 'publish', 'metrics', 'console'] as const)
  test(`a start whose only obstacle is the used port of ${name} names it`, async (t) => {
    const { tcp, udp } = await takenPorts(t);
    const home = join(temporaryFolder(), 'home');
    await (await startDaemon({ home, config: quiet })).close();
    const there = { port: name === 'quic' ? udp : tcp };
    const place = name === 'console' ? there : { host, ...there };
    await assert.rejects(startDaemon({ home, config: { ...quiet, [name]: place } }), {
      code: 'UNREACHABLE',
      message: `${name === 'quic' ? 'UDP port' : 'Port'} ${there.port} for the ${name} listener is in use by another program. Stop that program, or set ${name}.port${name === 'console' ? ', or console.enabled to false' : ''} in config.json.`,
    });
  });

test('a first start that fails late removes everything that it created, and nothing else', async () => {
  const home = join(temporaryFolder(), 'home');
  const folder = join(home, 'daemon');
  await mkdir(join(folder, 'admin.sock'), { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...quiet, trustDomain: 'mistyped.example' }));
  await assert.rejects(startDaemon({ home }), { code: 'STORE_FAILED', message: /admin\.sock/ });
  assert.deepEqual((await readdir(folder)).sort(), ['admin.sock', 'config.json']);
});

test('a start whose last listener fails closes all other listeners', async (t) => {
  const home = join(temporaryFolder(), 'home');
  const socket = join(home, 'daemon', 'admin.sock');
  const place = async () => ({ host, port: await freePort() });
  const config: DaemonConfigInput = {
    pairing: await place(),
    node: await place(),
    quic: await place(),
    publish: await place(),
    metrics: { port: await freePort() },
    console: { port: await freePort() },
  };
  await mkdir(socket, { recursive: true, mode: 0o700 });
  await assert.rejects(startDaemon({ home, config }), { code: 'STORE_FAILED', message: /admin\.sock/ });
  await rm(socket, { recursive: true });
  const daemon = await startDaemon({ home, config });
  t.after(() => daemon.close());
  assert.deepEqual(
    daemon.listeners.map(({ name }) => name),
    ['pairing', 'node', 'quic', 'admin', 'publish', 'metrics', 'console'],
  );
});

test('doctor and start both report all missing files of the configuration at once, and create nothing', async () => {
  const folder = temporaryFolder();
  const home = join(folder, 'home');
  const none = (name: string) => join(folder, name);
  const config = {
    ...quiet,
    node: { host: foreign, port: 0 },
    masterKey: { from: 'credential', path: none('credential') },
    notice: {
      webhook: { url: 'https://hook.example/', secretFile: none('secret') },
    },
    caKey: { module: none('module.so'), token: 'token', pinFile: none('pin') },
  } as const;
  const expected = {
    'node.host': foreign,
    'masterKey.path': none('credential'),
    'notice.webhook.secretFile': none('secret'),
    'caKey.module': none('module.so'),
    'caKey.pinFile': none('pin'),
  };
  const configFile = join(folder, 'config.json');
  await writeFile(configFile, JSON.stringify(config));
  const findings = await examineHome(home, new Date(), { configFile, beforeStart: true });
  const said = findings.filter(({ verdict }) => verdict === 'problem').map(({ message }) => message);
  const { message } = await startDaemon({ home, configFile }).catch((error) => error);
  for (const [setting, what] of Object.entries(expected))
    for (const text of [said.join('\n'), message])
      assert.ok(
        text.split('\n').some((line: string) => line.includes(setting) && line.includes(what)),
        `${setting} in ${text}`,
      );
  await assert.rejects(access(home), { code: 'ENOENT' });

  await writeFile(
    configFile,
    JSON.stringify({ ...quiet, trustDomain: 'Not A Domain', names: { ip: ['x'] } }),
  );
  const [, wrong] = await examineHome(home, new Date(), { configFile, beforeStart: true });
  assert.match(wrong!.message, /trustDomain.*names\.ip/s);

  await writeFile(configFile, JSON.stringify({ ...quiet, notice: { command: [none('program')] } }));
  const [, warned] = await examineHome(home, new Date(), { configFile, beforeStart: true });
  assert.equal(warned!.verdict, 'warning');
  assert.match(warned!.message, /^notice\.command: .*program does not exist/);

  await writeFile(configFile, JSON.stringify(quiet));
  const sound = await examineHome(home, new Date(), { configFile, beforeStart: true });
  assert.deepEqual(new Set(sound.map(({ verdict }) => verdict)), new Set(['ok']), JSON.stringify(sound));
  await assert.rejects(access(home), { code: 'ENOENT' });
});

test('while the daemon runs, doctor checks the whole configuration for its next start', async (t) => {
  const { tcp } = await takenPorts(t);
  const folder = temporaryFolder();
  const home = join(folder, 'home');
  const daemon = await startDaemon({ home, config: quiet });
  t.after(() => daemon.close(AbortSignal.abort()));
  const nodePort = Number(
    daemon.listeners
      .find(({ name }) => name === 'node')!
      .address.split(':')
      .at(-1),
  );
  await writeFile(
    join(home, 'daemon', 'config.json'),
    JSON.stringify({ ...quiet, node: { host, port: nodePort } }),
  );
  const configFile = join(folder, 'next.json');
  const next = { ...quiet, node: { host, port: nodePort }, metrics: { port: tcp } };
  await writeFile(configFile, JSON.stringify(next));
  const listeners = async () =>
    (await examineHome(home, new Date(), { configFile, beforeStart: true })).filter(
      ({ check }) => check === 'listeners',
    );
  const [found, ...others] = await listeners();
  assert.match(found!.message, /metrics\.port/);
  assert.deepEqual(others, []);
  await writeFile(configFile, JSON.stringify({ ...next, metrics: {} }));
  assert.equal((await listeners())[0]!.verdict, 'ok');
});

test('a failed start does not change the record of the last used configuration', async (t) => {
  const { tcp } = await takenPorts(t);
  const folder = temporaryFolder();
  const home = join(folder, 'home');
  const [good, bad] = [join(folder, 'good.json'), join(folder, 'bad.json')];
  await writeFile(good, JSON.stringify(quiet));
  await writeFile(bad, JSON.stringify({ ...quiet, metrics: { port: tcp } }));
  await (await startDaemon({ home, configFile: good })).close();
  await assert.rejects(startDaemon({ home, configFile: bad }), { code: 'UNREACHABLE' });
  assert.equal((await findDaemon(home)).config, good);
});

test('an invalid field does not hide problems with ports and files', async (t) => {
  const { tcp } = await takenPorts(t);
  const folder = temporaryFolder();
  const configFile = join(folder, 'config.json');
  const passphrase = join(folder, 'no-passphrase');
  const config = {
    pairing: { host, port: tcp },
    node: { host: foreign, port: 0 },
    quic: { enabled: 'yes', port: 1.5 },
    console: { enabled: false },
    names: { ip: ['127.0.0.1', 'nonsense'] },
    masterKey: { from: 'passphrase-file', path: passphrase },
    metrics: { port: tcp },
    masterkey: {},
  };
  await writeFile(configFile, JSON.stringify(config));
  const findings = await examineHome(join(folder, 'home'), new Date(), { configFile, beforeStart: true });
  const said = findings.filter(({ verdict }) => verdict === 'problem').map(({ message }) => message);
  for (const each of [
    'masterkey: there is no such setting',
    'quic.enabled: ',
    'quic.port: ',
    'names.ip.1: is not an IP address',
    'set pairing.port',
    'Set node.host',
    'Set metrics.port',
    passphrase,
  ])
    assert.ok(
      said.some((text) => text.includes(each)),
      `${each} in:\n${said.join('\n')}`,
    );
  assert.deepEqual(await readdir(folder), ['config.json']);
});
