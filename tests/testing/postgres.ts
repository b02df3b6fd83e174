// Debian's PostgreSQL, started by a test in a folder of its own, on a Unix socket. One server serves a test file, and each
// test gets a database. It ends with the process of the test file at the latest.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import { cacheFolder } from '../../scripts/cache-folder.ts';
import { atEndOfFile } from './end-of-file.ts';
import { freePort } from './free-port.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until, within } from './until.ts';

const [programs] = globSync('/usr/lib/postgresql/*/bin').sort().reverse();

/** Why tests with PostgreSQL cannot run here; false when they can. */
export const missingPostgres =
  programs === undefined && "NOT TESTED: PostgreSQL is missing. Install Debian's postgresql.";

/** PostgreSQL refuses to run as root. */
const owner = process.geteuid?.() === 0 ? userNamed('postgres') : undefined;

const settings = `
listen_addresses = ''
shared_buffers = 16MB
max_connections = 60
log_min_messages = warning
`;

export const logsStatements = 'log_statement = all';

export interface ServerOptions {
  readonly tls?: { readonly key: string; readonly cert: string };
  /** It is a standby of this server, with the name `standby`. */
  readonly follows?: PostgresServer;
  /** For its data. */
  readonly folder?: string;
}

export class PostgresServer {
  /** Of its socket. */
  readonly folder: string;
  readonly #programs: string;
  #server: ChildProcess | undefined;
  #databases = 0;
  readonly #log: string[] = [];
  port = 5432;

  /** Starts a server with `extra` settings. Its data is ordered by a language, as in most installations. */
  static async start(
    extra = '',
    { tls, follows, folder = temporaryFolder() }: ServerOptions = {},
  ): Promise<PostgresServer> {
    assert.ok(programs !== undefined, String(missingPostgres));
    const server = new PostgresServer(folder, programs);
    if (owner) {
      // The server's user must be able to pass through the folder above.
      if (process.env.TMPDIR) chmodSync(process.env.TMPDIR, 0o711);
      chownSync(folder, owner.uid, owner.gid);
    }
    if (follows) server.#copyOf(follows);
    else newCluster(server.#data, programs);
    writeFileSync(
      join(server.#data, 'postgresql.conf'),
      `${settings}unix_socket_directories = '${folder}'\n${extra}\n`,
    );
    if (tls) await server.#listenWithTls(tls);
    atEndOfFile(() => server.#server?.kill('SIGKILL'));
    await server.run();
    return server;
  }

  private constructor(folder: string, path: string) {
    this.folder = folder;
    this.#programs = path;
  }

  /** Also on a TCP port of this machine, with this certificate. */
  async #listenWithTls({ key, cert }: { readonly key: string; readonly cert: string }): Promise<void> {
    this.port = await freePort();
    for (const [from, to] of [
      [key, 'server.key'],
      [cert, 'server.crt'],
    ] as const) {
      const path = join(this.#data, to);
      copyFileSync(from, path);
      chmodSync(path, 0o600);
      if (owner) chownSync(path, owner.uid, owner.gid);
    }
    appendFileSync(
      join(this.#data, 'postgresql.conf'),
      `ssl = on\nlisten_addresses = '127.0.0.1'\nport = ${this.port}\n`,
    );
    appendFileSync(join(this.#data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust\n');
  }

  #copyOf({ folder }: PostgresServer): void {
    const from = `host=${folder} user=postgres application_name=standby`;
    const words = ['--dbname', from, '--pgdata', this.#data, '--checkpoint=fast', '--no-sync'];
    execFileSync(join(this.#programs, 'pg_basebackup'), [...words, '--write-recovery-conf'], {
      ...owner,
      cwd: '/',
    });
  }

  get #data(): string {
    return join(this.folder, 'data');
  }

  /** Runs the server until `stop` or `kill`. */
  async run(): Promise<void> {
    const ids = owner ? [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'] : [];
    const words = [...ids, '--pdeathsig=INT', '--', join(this.#programs, 'postgres'), '-D', this.#data];
    // Ends with this process, however that ends.
    const server = spawn('setpriv', words, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
    this.#server = server;
    const ready = new Promise<void>((resolve, reject) => {
      createInterface({ input: server.stderr }).on('line', (line) => {
        this.#log.push(line);
        if (/database system is ready to accept (?:read-only )?connections/.test(line)) resolve();
      });
      server.once('exit', () => reject(new Error(`PostgreSQL did not start:\n${this.#log.join('\n')}`)));
    });
    await within('PostgreSQL starts', ready);
  }

  /** Runs it as a standby that follows nobody, until `promote`. */
  async runAsStandby(): Promise<void> {
    const signal = join(this.#data, 'standby.signal');
    writeFileSync(signal, '');
    if (owner) chownSync(signal, owner.uid, owner.gid);
    await this.run();
  }

  async promote(): Promise<void> {
    await this.sql('postgres', 'select pg_promote()');
  }

  /**
   * Statements that ask for notifications or advisory locks, of a server with the settings `logsStatements`. CockroachDB and
   * YugabyteDB lack both.
   */
  async notPortable(): Promise<string[]> {
    const last = 'the last statement';
    await this.sql('postgres', `select '${last}'`);
    await until('the server has logged it', () => this.#log.some((line) => line.includes(last)));
    assert.ok(this.#log.some((line) => /execute .* from "?ledger"?/.test(line)));
    return this.#log.filter((line) => /pg_notify|advisory|\b(?:un)?listen\b|\bnotify\b/i.test(line));
  }

  /** Ends every connection, and stops: what a restart of the service does. */
  async stop(): Promise<void> {
    await this.#end('SIGINT');
  }

  /** As after a power cut, but without losing what the kernel has. */
  async kill(): Promise<void> {
    await this.#end('SIGQUIT');
  }

  /** Stops each of its processes where it is, until `resume`. */
  pause(): void {
    for (const pid of this.#processes()) signalIfThere(pid, 'SIGSTOP');
  }

  resume(): void {
    for (const pid of this.#processes()) signalIfThere(pid, 'SIGCONT');
  }

  /** Kills one of its processes. The server then ends every connection, recovers, and goes on. */
  async killOne(): Promise<void> {
    const [row] = await this.sql(
      'postgres',
      `select pid from pg_stat_activity where backend_type = 'client backend' and application_name = 'palyra' limit 1`,
    );
    if (!row) return;
    const pids = this.#processes();
    signalIfThere(Number(row.pid), 'SIGKILL');
    await until(
      'every process was replaced',
      () => !this.#processes().some((pid) => pid !== pids[0] && pids.includes(pid)),
    );
    await until('it has recovered', () =>
      this.sql('postgres', 'select 1').then(
        () => true,
        () => false,
      ),
    );
  }

  #processes(): number[] {
    const pid = this.#server?.pid;
    if (pid === undefined) return [];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return [pid, ...children.split(' ').filter(Boolean).map(Number)];
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await within('PostgreSQL ends', ended);
  }

  /** Makes an empty database. @returns its URL. */
  async database(template = 'template0'): Promise<string> {
    this.#databases += 1;
    const name = `test_${this.#databases}`;
    await this.sql('postgres', `create database ${name} template ${template} strategy file_copy`);
    return this.url(name);
  }

  url(database: string, user = 'postgres'): string {
    return `postgres:///${database}?host=${encodeURIComponent(this.folder)}&user=${user}`;
  }

  /** Changes a setting of the server, as with `alter system`, and waits until new sessions have it. */
  async alter(change: string): Promise<void> {
    await this.sql('postgres', `alter system ${change}`);
    await this.sql('postgres', 'select pg_reload_conf()');
    const [, name] = change.split(' ');
    await until('the setting is in force', async () => {
      const [row] = await this.sql(
        'postgres',
        `select pending_restart, setting from pg_settings where name = '${name}'`,
      );
      const wanted = /= '(.*)'$/.exec(change)?.[1];
      return row && (wanted === undefined || row.setting === wanted);
    });
  }

  /** Runs statements on a connection that stays open, with what they hold. */
  async hold(at: string, text: string): Promise<Pick<Client, 'query' | 'end'>> {
    const client = new Client({
      host: this.folder,
      user: 'postgres',
      database: new URL(at).pathname.slice(1),
      ssl: false,
    });
    await client.connect();
    await client.query(text);
    return client;
  }

  /** Runs statements as the superuser, on a connection of its own. @param at a database or a URL. */
  async sql(at: string, text: string): Promise<Record<string, unknown>[]> {
    const database = at.startsWith('postgres:') ? new URL(at).pathname.slice(1) : at;
    const client = new Client({
      host: this.folder,
      port: this.port,
      user: 'postgres',
      database,
      ssl: false,
    });
    await client.connect();
    try {
      const result = await client.query(text);
      return result.rows ?? [];
    } finally {
      await client.end();
    }
  }
}

/** A cluster takes seconds to make and no time to copy, so the first one is kept for all later tests. */
function newCluster(folder: string, path: string): void {
  const kept = join(cacheFolder, 'postgres', basename(dirname(path)));
  if (existsSync(kept)) {
    copyFolder(kept, folder);
    return;
  }
  const order = ['--encoding=UTF8', '--locale=C', '--locale-provider=icu', '--icu-locale=en'];
  execFileSync(
    join(path, 'initdb'),
    ['-D', folder, '-U', 'postgres', '--auth=trust', '--no-sync', ...order],
    { ...owner, cwd: '/', stdio: ['ignore', 'ignore', 'inherit'] },
  );
  mkdirSync(dirname(kept), { recursive: true });
  const copy = join(temporaryFolder(dirname(kept)), 'data');
  copyFolder(folder, copy);
  try {
    renameSync(copy, kept);
  } catch (error) {
    // Another test has just kept one.
    if (!existsSync(kept)) throw error;
  }
}

/** With owners, permissions and links. */
function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

function userNamed(name: string): { readonly uid: number; readonly gid: number } | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return line ? { uid: Number(uid), gid: Number(gid) } : undefined;
}
