// A device pairs, connects, recovers and is revoked over channels, directly and through real proxies that end
// TLS with their own certificates. The proxies are Debian's nginx and haproxy.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, configure, failure, PalyraProcess, palyra } from '../testing/palyra-process.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { missing, startNginx, untilListening } from '../testing/web-server.ts';

const proxies = {
  none: async (_t: TestContext, webPort: number) => `ws://127.0.0.1:${webPort}/channel`,

  async nginx(t: TestContext, webPort: number) {
    const { folder, port } = await proxyFolder();
    await startNginx(
      t,
      folder,
      port,
      `ssl_certificate cert.pem; ssl_certificate_key key.pem;
       location /home/ {
         proxy_pass http://127.0.0.1:${webPort}/;
         proxy_http_version 1.1;
         proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection upgrade;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
         proxy_read_timeout 60s;
       }`,
    );
    return `wss://127.0.0.1:${port}/home/channel`;
  },

  async haproxy(t: TestContext, webPort: number) {
    const { folder, port } = await proxyFolder();
    await writeFile(
      join(folder, 'both.pem'),
      `${await readFile(join(folder, 'cert.pem'), 'utf8')}${await readFile(join(folder, 'key.pem'), 'utf8')}`,
    );
    await writeFile(
      join(folder, 'haproxy.cfg'),
      `defaults
  mode http
  option forwardfor
  timeout client 30s
  timeout connect 5s
  timeout server 30s
  timeout tunnel 60s
frontend web
  bind 127.0.0.1:${port} ssl crt ${join(folder, 'both.pem')} alpn http/1.1
  default_backend palyra
backend palyra
  server daemon 127.0.0.1:${webPort}
`,
    );
    const haproxy = spawn('haproxy', ['-f', join(folder, 'haproxy.cfg')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await untilListening(t, haproxy, port, 'SIGTERM');
    return `wss://127.0.0.1:${port}/channel`;
  },
};

for (const [name, proxy] of Object.entries(proxies)) {
  const skip = name === 'none' ? false : missing(name as 'nginx' | 'haproxy', name);
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

async function startDaemon(t: TestContext) {
  const home = temporaryFolder();
  const webPort = await freePort();
  await configure(home, { web: { port: webPort, proxies: ['127.0.0.1'] } });
  return { home, webPort, daemon: await DaemonProcess.start(t, { home }) };
}

/** With a self-signed certificate. */
async function proxyFolder(): Promise<{ folder: string; port: number }> {
  const folder = temporaryFolder();
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const made = spawnSync(
    'openssl',
    ['req', '-x509', ...key, '-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=proxy', '-days', '2'],
    { cwd: folder, encoding: 'utf8' },
  );
  assert.equal(made.status, 0, made.stderr);
  await chmod(folder, 0o755);
  return { folder, port: await freePort() };
}
