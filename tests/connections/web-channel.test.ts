// A device pairs, connects, recovers and is revoked over channels, directly and through real proxies that end
// TLS with their own certificates: Debian's nginx, haproxy and caddy. Debian's tinyproxy is the HTTP proxy on the device's side.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { dialChannel } from '@palyra/transport-websocket';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, configure, failure, PalyraProcess, palyra } from '../testing/palyra-process.ts';
import { reverseProxies } from '../testing/reverse-proxies.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { missing, untilListening } from '../testing/web-server.ts';

const proxies = {
  none: async (_t: TestContext, webPort: number) => `ws://127.0.0.1:${webPort}/channel`,
  ...reverseProxies,
};

for (const [name, proxy] of Object.entries(proxies)) {
  const skip = name === 'none' ? false : missing(name as keyof typeof reverseProxies, name);
  test(`a device lives over channels, with ${name} in between`, { skip }, async (t) => {
    const { home, daemon, webPort } = await startDaemon(t);
    const url = await proxy(t, webPort);
    const device = temporaryFolder();

    const { code } = await answer(['pairing', 'code'], { home });
    const pairing = PalyraProcess.start(['pair', url, '--code-stdin', '--name', 'browserish'], {
      home: device,
      stdin: `${code}\n`,
    });
    t.after(async () => void (await pairing.end('SIGKILL')));
    const { words } = await pairing.line(({ event }) => event === 'words');
    const { pairings } = await answer(['pairing', 'list'], { home });
    assert.equal(pairings[0].device.words, words);
    // The operator sees the address of the device, not of the proxy.
    assert.equal(pairings[0].device.source, '127.0.0.1');
    await answer(['pairing', 'approve', pairings[0].id], { home });
    const { lines, exitCode } = await pairing.ended;
    assert.equal(exitCode, 0);
    const paired = lines.at(-1)!;

    const agent = PalyraProcess.start(['node', 'run', '--transport', 'websocket'], { home: device });
    t.after(async () => void (await agent.end('SIGKILL')));
    const connected = await agent.line(({ event }) => event === 'connected');
    assert.equal(connected.transport, 'websocket');
    const { devices } = await answer(['devices', 'list'], { home });
    assert.equal(devices[0].transport, 'websocket');
    const done = await answer(['node', 'exec', paired.device_id, 'system.info'], { home });
    assert.ok(done);

    await answer(['devices', 'revoke', paired.device_id, '--yes'], { home });
    const left = await agent.ended;
    assert.equal(left.lines.at(-1)?.error?.code, 'DEVICE_REVOKED', left.stdout + left.stderr);
    await failure(palyra(['pair', `${url}x`, '--code-stdin'], { home: device, stdin: `${code}\n` }), {
      code: 'UNREACHABLE',
      exitCode: 7,
    });
    await daemon.process.end('SIGTERM');
  });
}

test('an agent uses a channel when neither QUIC nor HTTP/2 reaches its daemon', async (t) => {
  const { home, daemon, webPort } = await startDaemon(t);
  const device = temporaryFolder();
  const { code } = await answer(['pairing', 'code'], { home });
  const pairing = PalyraProcess.start(['pair', `ws://127.0.0.1:${webPort}`, '--code-stdin'], {
    home: device,
    stdin: `${code}\n`,
  });
  t.after(async () => void (await pairing.end('SIGKILL')));
  await pairing.line(({ event }) => event === 'words');
  const { pairings } = await answer(['pairing', 'list'], { home });
  await answer(['pairing', 'approve', pairings[0].id], { home });
  assert.equal((await pairing.ended).exitCode, 0);
  // Nothing listens there.
  await answer(['node', 'endpoints', '--node', '127.0.0.1:9', '--quic', '127.0.0.1:9'], { home: device });
  const agent = PalyraProcess.start(['node', 'run'], { home: device });
  t.after(async () => void (await agent.end('SIGKILL')));
  assert.equal((await agent.line(({ event }) => event === 'connected')).transport, 'websocket');
  await daemon.process.end('SIGTERM');
});

for (const name of ['nginx', 'haproxy'] as const) {
  test(`${name} cuts a silent channel, and the agent connects again; a channel with PINGs stays`, {
    skip: missing(name, name),
  }, async (t) => {
    const { home, daemon, webPort } = await startDaemon(t);
    const url = await reverseProxies[name](t, webPort, 2);
    const channel = await dialChannel({
      url: new URL(url),
      purpose: 'pair',
      judge: () => undefined,
      keepAliveMs: 500,
    });
    t.after(() => channel.close());
    let isClosed = false;
    void channel.closed.then(() => {
      isClosed = true;
    });
    const device = temporaryFolder();
    const { code } = await answer(['pairing', 'code', '--auto-approve'], { home });
    await answer(['pair', url, '--code-stdin'], { home: device, stdin: `${code}\n` });
    // An agent sends a PING only every 20 seconds.
    const agent = PalyraProcess.start(['node', 'run', '--transport', 'websocket'], { home: device });
    t.after(async () => void (await agent.end('SIGKILL')));
    const cut = await agent.line(({ event }) => event === 'disconnected');
    assert.equal(cut.code, 'UNREACHABLE');
    await agent.line(() => agent.lines.filter(({ event }) => event === 'connected').length > 1);
    assert.equal(isClosed, false);
    await daemon.process.end('SIGTERM');
  });
}

test('a device reaches its daemon under another path through the HTTP proxy of the environment', {
  skip: missing('nginx', 'nginx') || missing('tinyproxy', 'tinyproxy-bin'),
}, async (t) => {
  const { home, daemon, webPort } = await startDaemon(t, '/deep/in/here');
  const url = (await reverseProxies.nginx(t, webPort)).replace(/channel$/, 'deep/in/here');
  const proxy = await startTinyproxy(t, Number(new URL(url).port));
  const device = temporaryFolder();
  const pair = async (env: Record<string, string>) => {
    const { code } = await answer(['pairing', 'code', '--auto-approve'], { home });
    const arguments_ = ['pair', url, '--code-stdin', '--new-identity'];
    return palyra(arguments_, { home: device, stdin: `${code}\n`, env });
  };
  const at = `http://user:secret@127.0.0.1:${proxy.port}`;
  assert.equal((await pair({ HTTPS_PROXY: at })).exitCode, 0);
  assert.equal(await proxy.tunnels(), 1);
  assert.equal((await pair({ HTTPS_PROXY: at, NO_PROXY: 'example.com,127.0.0.0/8' })).exitCode, 0);
  assert.equal(await proxy.tunnels(), 1);

  const env = { https_proxy: at, no_proxy: 'example.com' };
  const agent = PalyraProcess.start(['node', 'run', '--transport', 'websocket'], { home: device, env });
  t.after(async () => void (await agent.end('SIGKILL')));
  await agent.line(({ event }) => event === 'connected');
  assert.equal(await proxy.tunnels(), 2);

  for (const wrong of [
    'socks5://user:secret@127.0.0.1:9',
    `http://user:secret@127.0.0.1:${await freePort()}`,
  ]) {
    const refused = await failure(pair({ HTTPS_PROXY: wrong }), { code: 'UNREACHABLE', exitCode: 7 });
    assert.match(refused, /proxy/);
    assert.doesNotMatch(refused, /secret/);
  }
  await daemon.process.end('SIGTERM');
});

/** It lets its clients reach only this port, and logs each tunnel. */
async function startTinyproxy(t: TestContext, target: number) {
  const folder = temporaryFolder();
  const port = await freePort();
  const log = join(folder, 'log');
  const lines = [`Port ${port}`, 'Listen 127.0.0.1', 'BasicAuth user secret', `ConnectPort ${target}`];
  await writeFile(join(folder, 'conf'), [...lines, `LogFile "${log}"`, 'LogLevel Connect', ''].join('\n'));
  const tinyproxy = spawn('tinyproxy', ['-d', '-c', join(folder, 'conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilListening(t, tinyproxy, port, 'SIGTERM');
  return {
    port,
    tunnels: async () => (await readFile(log, 'utf8')).match(/: CONNECT /g)?.length ?? 0,
  };
}

async function startDaemon(t: TestContext, path = '/channel') {
  const home = temporaryFolder();
  const webPort = await freePort();
  await configure(home, { web: { port: webPort, path, proxies: ['127.0.0.1'] } });
  return { home, webPort, daemon: await DaemonProcess.start(t, { home }) };
}
