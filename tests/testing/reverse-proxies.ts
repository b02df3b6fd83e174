// nginx, HAProxy and Caddy in front of a web listener. Each ends TLS with a self-signed certificate.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import type { Scope } from './palyra-process.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { startNginx, untilListening } from './web-server.ts';

/**
 * Each starts the proxy in front of the web listener on this port. @param idleSeconds until the proxy cuts a silent connection.
 * @returns the URL of the channel.
 */
export const reverseProxies = {
  async nginx(scope: Scope, webPort: number, idleSeconds = 60) {
    const { folder, port } = await proxyFolder();
    await startNginx(
      scope,
      folder,
      port,
      `ssl_certificate cert.pem; ssl_certificate_key key.pem;
       location /home/ {
         proxy_pass http://127.0.0.1:${webPort}/;
         proxy_http_version 1.1;
         proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection upgrade;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
         proxy_read_timeout ${idleSeconds}s;
       }`,
    );
    return `wss://127.0.0.1:${port}/home/channel`;
  },

  async haproxy(scope: Scope, webPort: number, idleSeconds = 60) {
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
  timeout tunnel ${idleSeconds}s
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
    await untilListening(scope, haproxy, port, 'SIGTERM');
    return `wss://127.0.0.1:${port}/channel`;
  },

  async caddy(scope: Scope, webPort: number) {
    const { folder, port } = await proxyFolder();
    // Caddy removes the first part of the path, as nginx does above.
    await writeFile(
      join(folder, 'Caddyfile'),
      `{
  admin off
  auto_https disable_redirects
}
https://127.0.0.1:${port} {
  tls ${join(folder, 'cert.pem')} ${join(folder, 'key.pem')}
  handle_path /home/* {
    reverse_proxy 127.0.0.1:${webPort}
  }
}
`,
    );
    const caddy = spawn('caddy', ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    });
    await untilListening(scope, caddy, port, 'SIGTERM');
    return `wss://127.0.0.1:${port}/home/channel`;
  },
};

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
