// nginx, HAProxy and others as separate processes with their own folder, without effect on the machine's own servers.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import https from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Scope } from './palyra-process.ts';
import { until } from './until.ts';

export function missing(
  program: 'nginx' | 'haproxy' | 'caddy' | 'tinyproxy',
  debian: string,
): string | false {
  return spawnSync(program, [program === 'caddy' ? 'version' : '-v']).status === 0
    ? false
    : `${program} is not installed (Debian package: ${debian})`;
}

/** @param server directives of its only server, which listens with TLS. */
export async function startNginx(scope: Scope, folder: string, port: number, server: string): Promise<void> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (each) => `${each}_temp_path tmp;`,
  );
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; pid nginx.pid; error_log stderr warn; worker_processes 2;
     events {}
     http { access_log off; ${temporary.join(' ')}
       server { listen 127.0.0.1:${port} ssl; ${server} } }`,
  );
  const nginx = spawn('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilListening(scope, nginx, port, 'SIGQUIT');
}

/** The command for a hook or a timer. */
export const nginxReload = (folder: string): string => `nginx -p ${folder} -c nginx.conf -e stderr -s reload`;

/** @param bind the options after `bind ADDRESS:PORT ssl`. */
export async function startHaproxy(
  scope: Scope,
  folder: string,
  port: number,
  bind: string,
): Promise<{ reload(): void }> {
  await writeFile(
    join(folder, 'haproxy.cfg'),
    `defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend devices
  bind 127.0.0.1:${port} ssl ${bind}
  http-request return status 200 content-type text/plain lf-string "%[ssl_c_serial,hex]"
`,
  );
  const haproxy = spawn('haproxy', ['-W', '-f', join(folder, 'haproxy.cfg')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await untilListening(scope, haproxy, port, 'SIGTERM');
  return { reload: () => void haproxy.kill('SIGUSR2') };
}

export async function untilListening(
  scope: Scope,
  server: ChildProcess,
  port: number,
  stop: NodeJS.Signals,
): Promise<void> {
  let said = '';
  server.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<void>((resolve) => {
    server.once('error', () => resolve());
    server.once('close', () => resolve());
  });
  scope.after(async () => {
    server.kill(stop);
    await ended;
  });
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  await until(`${server.spawnfile} listens`, () => {
    if (isOver) throw new Error(`${server.spawnfile} ended: ${said}`);
    return listens(port);
  });
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Serial of the server's certificate, lower-case hex. */
  readonly serverSerial: string;
}

/** One request on a new connection. The client verifies the server's chain only: its certificate has no host name. */
export function ask(
  port: number,
  tls: { readonly ca: string; readonly cert?: string; readonly key?: string },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = https.get(
      { host: '127.0.0.1', port, path: '/', agent: false, checkServerIdentity: () => undefined, ...tls },
      async (response) => {
        const { serialNumber } = (response.socket as import('node:tls').TLSSocket).getPeerCertificate();
        let body = '';
        try {
          for await (const chunk of response.setEncoding('utf8')) body += chunk;
        } catch (error) {
          return reject(error);
        }
        resolve({ status: response.statusCode!, body, serverSerial: serialNumber.toLowerCase() });
      },
    );
    request.once('error', reject);
  });
}
