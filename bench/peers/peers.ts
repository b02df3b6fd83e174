// Our daemon and the servers that it is compared with, each a process of its own, and one client for all. All of them
// demand a client's certificate of the same kind over TLS 1.3, on a loopback address.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { certificatesToPem } from '@palyra/identity/certificate';
import type { PairedEnrollment } from '@palyra/identity/device';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { buildPalyra } from '../../scripts/build-palyra.ts';
import { cacheFolder } from '../../scripts/cache-folder.ts';
import { freePort } from '../../tests/testing/free-port.ts';
import { buildGo, skipGo } from '../../tests/testing/go-program.ts';
import { MeasuredDaemon } from '../../tests/testing/measured-daemon.ts';
import { cpuMs, residentBytes } from '../../tests/testing/process-figures.ts';
import { temporaryFolder } from '../../tests/testing/temporary-folder.ts';
import { missing, untilListening } from '../../tests/testing/web-server.ts';
import type { Progress } from '../measure.ts';
import { newDevice, pair } from '../pair.ts';
import { PeerClient, type Target, targetOf } from './client.ts';
import { type PeerName, peerNames } from './names.ts';

export interface Peer {
  readonly name: PeerName;
  readonly target: Target;
  /** Processor time so far, ms. */
  cpuMs(): Promise<number>;
  residentBytes(): Promise<number>;
}

/** The servers' own: certificate, key and the authority of the clients, in files. */
interface Place {
  readonly folder: string;
  readonly port: number;
}

/** As `npm exec --package` in other scripts: a fixed version of a program that is not part of this repository. */
const grpcJs = '@grpc/grpc-js@1.14.7';
/** Connections that a device may have are 16. */
const perDevice = 15;

/** The peers that are here. The client needs Go, so there are none without it. */
export class Peers {
  readonly client: PeerClient;
  readonly all: readonly Peer[];
  readonly #ends: (() => Promise<void>)[];

  /** @param connections the most that one server will hold. @returns undefined where there is no client. */
  static async start(
    wanted: readonly PeerName[],
    progress: Progress,
    connections = perDevice,
  ): Promise<Peers | undefined> {
    if (skipGo) {
      progress(`peers NOT MEASURED: their client is a Go program. ${skipGo}`);
      return undefined;
    }
    const ends: (() => Promise<void>)[] = [];
    const scope = { after: (end: () => Promise<void>) => void ends.unshift(end) };
    const all: Peer[] = [];
    try {
      progress('peers: programs are built (the first time takes a minute)');
      const client = PeerClient.start();
      scope.after(() => client.end());
      const own = await startPalyra(scope, Math.ceil(connections / perDevice));
      const others = await credentials(await client.reply(own.target));
      for (const name of peerNames.filter((each) => wanted.includes(each))) {
        if (name === 'palyra') {
          all.push(own);
          continue;
        }
        const { missing: why, start, speaks = 'h2' } = servers[name];
        const reason = why();
        if (reason) {
          progress(`peers: ${name} NOT MEASURED: ${reason}`);
          continue;
        }
        const port = await freePort();
        const child = start({ folder: others.folder, port });
        await untilListening(scope, child, port, 'SIGKILL');
        all.push(peer(name, child.pid!, { ...others.target, address: `127.0.0.1:${port}`, speaks }));
      }
      return new Peers(client, all, ends);
    } catch (error) {
      for (const end of ends) await end();
      throw error;
    }
  }

  private constructor(client: PeerClient, all: readonly Peer[], ends: (() => Promise<void>)[]) {
    this.client = client;
    this.all = all;
    this.#ends = ends;
  }

  /** One value of each peer, by its name. */
  each<Value>(make: (peer: Peer) => Value): Record<PeerName, Value> {
    return Object.fromEntries(this.all.map((one) => [one.name, make(one)])) as Record<PeerName, Value>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) await end();
  }
}

type Scope = Parameters<typeof untilListening>[0];

/** `palyra daemon` as it is installed, with paired devices. */
async function startPalyra(scope: Scope, devices: number): Promise<Peer> {
  mkdirSync(cacheFolder, { recursive: true });
  const palyra = await buildPalyra(temporaryFolder(cacheFolder));
  const limits = { strangersPerSource: 1_000 };
  const daemon = await MeasuredDaemon.start(scope, limits, { palyra, longestRunMs: 6 * 60 * 60_000 });
  const paired: PairedEnrollment[] = [];
  while (paired.length < devices) paired.push(await daemon.pair());
  return peer('palyra', daemon.process.process.pid, targetOf(daemon.address('node'), paired));
}

/** Certificates of the same kind for the other servers, from an authority of their own. */
async function credentials(reply: Buffer): Promise<{ folder: string; target: Target }> {
  const registry = await openSqliteRegistry({ path: ':memory:' });
  const identity = await IdentityManager.open({ secrets: new MemorySecretStore(), registry });
  const { key, certificateChain } = await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });
  const device = await pair(identity, await newDevice());
  await registry.close();
  const folder = temporaryFolder();
  const files = {
    'cert.pem': certificatesToPem(certificateChain),
    'key.pem': key.toPem(),
    'ca.pem': certificatesToPem(device.trustBundle),
    'reply.bin': reply,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return { folder, target: targetOf('', [device]) };
}

interface Server {
  /** Why it is not here, or false. */
  missing(): string | false;
  start(place: Place): ChildProcess;
  readonly speaks?: Target['speaks'];
}

function run(program: string, ...words: string[]): ChildProcess {
  // A pipe that stays open: s_server would read its stdin.
  const child = spawn(program, words, { stdio: ['pipe', 'ignore', 'pipe'] });
  const killWithMe = () => child.kill('SIGKILL');
  process.once('exit', killWithMe);
  child.once('exit', () => process.off('exit', killWithMe));
  return child;
}
const script = (name: string) => join(import.meta.dirname, name);

const servers: Readonly<Record<Exclude<PeerName, 'palyra'>, Server>> = {
  node: {
    missing: () => false,
    start: ({ folder, port }) => run(process.execPath, script('node.ts'), folder, String(port)),
  },
  'grpc-js': {
    missing: installGrpcJs,
    start: ({ folder, port }) =>
      run(process.execPath, script('grpc-js.ts'), folder, String(port), grpcJsFolder),
  },
  'grpc-go': {
    missing: () => skipGo,
    start: ({ folder, port }) => run(buildGo(script('grpc_go.go')), folder, String(port)),
  },
  nginx: {
    missing: () => missing('nginx', 'nginx-light'),
    start: ({ folder, port }) => {
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (each) => `${each}_temp_path tmp;`,
      );
      // One process, so that its processor time and memory are all.
      const settings = [
        'daemon off;',
        'master_process off;',
        'pid nginx.pid;',
        'error_log stderr crit;',
        'events { worker_connections 20000; }',
        `http { access_log off; keepalive_timeout 1h; ${temporary.join(' ')}`,
        `server { listen 127.0.0.1:${port} ssl http2; ssl_protocols TLSv1.3; ssl_certificate cert.pem;`,
        'ssl_certificate_key key.pem; ssl_client_certificate ca.pem; ssl_verify_client on; ssl_verify_depth 3;',
        'return 200 here; } }',
      ];
      writeFileSync(join(folder, 'nginx.conf'), settings.join('\n'));
      return run('nginx', '-p', folder, '-c', 'nginx.conf', '-e', 'stderr');
    },
  },
  s_server: {
    missing: () =>
      spawnSync('openssl', ['version']).status !== 0 && 'there is no openssl (Debian package: openssl)',
    start: ({ folder, port }) => {
      const file = (name: string) => join(folder, name);
      const own = ['-cert', file('cert.pem'), '-cert_chain', file('cert.pem'), '-key', file('key.pem')];
      const peer = ['-CAfile', file('ca.pem'), '-Verify', '3', '-verify_return_error', '-tls1_3'];
      return run('openssl', 's_server', '-accept', `127.0.0.1:${port}`, ...own, ...peer, '-quiet', '-rev');
    },
    speaks: 'line',
  },
};

const grpcJsFolder = join(cacheFolder, 'peers');

function installGrpcJs(): string | false {
  if (existsSync(join(grpcJsFolder, 'node_modules/@grpc/grpc-js/package.json'))) return false;
  mkdirSync(grpcJsFolder, { recursive: true });
  const quiet = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
  const { status, stderr } = spawnSync('npm', ['install', '--prefix', grpcJsFolder, ...quiet, grpcJs], {
    encoding: 'utf8',
  });
  return status !== 0 && `npm could not install ${grpcJs}: ${stderr.trim()}`;
}

function peer(name: PeerName, pid: number, target: Target): Peer {
  return { name, target, cpuMs: () => cpuMs(pid), residentBytes: () => residentBytes(pid) };
}
