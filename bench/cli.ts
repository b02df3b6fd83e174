// cli.*: what a person waits for, and what an idle process keeps: the built command against a bare Node.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { buildPalyra } from '../scripts/build-palyra.ts';
import { cacheFolder } from '../scripts/cache-folder.ts';
import { type Figures, interleave, median, type Progress, ratio } from './measure.ts';
import { TemporaryFolder } from './temporary-folder.ts';

const devices = 3;
/** Runs of a command in a round. */
const runs = 5;
const idleMs = 10_000;
const bareNode = [process.execPath, '-e', '0'];

export async function cli(progress: Progress): Promise<Figures> {
  using folder = await TemporaryFolder.make();
  const palyra = join(dirname(await buildPalyra(join(cacheFolder, 'bench-palyra'))), 'palyra');
  // Nothing of this process's environment: a compile cache would change the figures.
  const env = { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, HOME: folder.path };
  const home = join(folder.path, 'home');
  await configure(home);
  const command = (...args: readonly string[]) => [palyra, '--home', home, ...args];

  progress(`a daemon with ${devices} devices, one of which runs its agent`);
  const daemon = Process.start(command('daemon', '--no-code', '--json'), env);
  const ready = await daemon.line('"event":"ready"');
  const { address } = ready.listeners.find(({ name }: { name: string }) => name === 'pairing');
  for (let made = 0; made < devices; made += 1) await pairDevice(command, address, made, env);
  const agent = Process.start([palyra, '--home', join(folder.path, 'device0'), 'node', 'run', '--json'], env);
  await agent.line('"event":"connected"');
  progress(`both idle for ${idleMs / 1000} s`);
  await setTimeout(idleMs);
  const memory = { daemon: await daemon.residentMib(), agent: await agent.residentMib() };
  await agent.end();
  const bare = Process.start([process.execPath, '-e', 'setInterval(() => {}, 1e6); console.log(0)'], env);
  await bare.line('0');
  const bareMib = await bare.residentMib();
  await bare.end();

  progress('short commands against node -e 0');
  const shorts = {
    node: bareNode,
    version: [palyra, '--version'],
    status: command('status'),
    devices_list: command('devices', 'list'),
    complete_device: command('complete', '--', 'devices', 'show', ''),
  };
  const short = await interleave(
    {
      node: () => processorMs(shorts.node, env),
      version: () => processorMs(shorts.version, env),
      status: () => processorMs(shorts.status, env),
      devices_list: () => processorMs(shorts.devices_list, env),
      complete_device: () => processorMs(shorts.complete_device, env),
    },
    { rounds: 7, warmUp: 1 },
  );
  await daemon.end();

  progress('the start of a daemon against node -e 0');
  const long = await interleave(
    {
      node: () => processorMs(bareNode, env),
      daemon: () => processorMsUntilReady(command('daemon', '--no-code', '--json'), env),
    },
    { rounds: 9, warmUp: 1 },
  );

  const { node, ...ours } = short;
  const ratios = Object.entries(ours).map(([name, ms]) => ({ name, ...ratio(ms, node) }));
  const slowest = ratios.reduce((one, other) => (other.value > one.value ? other : one));
  return {
    'cli.start_ratio': {
      value: slowest.value,
      spread: slowest.spread,
      target: { atMost: 4 },
      unit: 'ratio',
      meaning:
        'Processor time of the slowest of `palyra --version`, `status`, `devices list` and the completion of a device, over ' +
        'that of `node -e 0`.',
      whenMissed:
        "of a command on the admin socket, a quarter is Node's own modules (HTTP/2, which brings TLS and cryptography, is half of " +
        'them), a fifth the descriptors of the protos, a seventh the compilation of the program, and a twentieth each the reading of ' +
        'its files and the collection of garbage.',
      parts: {
        ...Object.fromEntries(ratios.map(({ name, value }) => [`${name}_ratio`, value])),
        ...Object.fromEntries(Object.entries(short).map(([name, ms]) => [`${name}_ms`, median(ms)])),
      },
    },
    'cli.daemon_start_ratio': {
      ...ratio(long.daemon, long.node),
      target: { atMost: 8 },
      unit: 'ratio',
      meaning: 'Processor time of a daemon until all its ports are open, over that of `node -e 0`.',
      whenMissed:
        "a fifth is the compilation of the program, a tenth the opening of the listeners with OpenSSL's first contexts, a " +
        'fourteenth the schema of the configuration, and a twentieth each the descriptors of the protos, the collection of garbage ' +
        "and Node's own modules.",
      parts: { daemon_ms: median(long.daemon), node_ms: median(long.node) },
    },
    'cli.idle_daemon_mib': idle('a daemon with one connected device', memory.daemon, bareMib),
    'cli.idle_agent_mib': idle(
      'an agent (`palyra node run`) that is connected over QUIC',
      memory.agent,
      bareMib,
    ),
  };
}

function idle(what: string, value: number, bareMib: number): Figures[string] {
  return {
    value,
    target: { atMost: 100 },
    unit: 'MiB',
    meaning: `Resident memory of ${what}, after ${idleMs / 1000} s without work.`,
    whenMissed:
      "three fifths are pages of Node's program file, of which a bare Node has two thirds too; a fifth is V8's heap, of which a " +
      'sixth is the text of our program.',
    parts: { bare_node_mib: bareMib },
  };
}

async function configure(home: string): Promise<void> {
  await mkdir(join(home, 'daemon'), { recursive: true, mode: 0o700 });
  const here = { host: '127.0.0.1', port: 0 };
  const config = { pairing: here, node: here, quic: here, console: { port: 0 } };
  await writeFile(join(home, 'daemon/config.json'), JSON.stringify(config));
}

async function pairDevice(
  command: (...args: readonly string[]) => string[],
  address: string,
  index: number,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const [palyra = '', , home = ''] = command();
  const { code } = JSON.parse(await output(command('pairing', 'code', '--auto-approve', '--json'), env));
  const own = [palyra, '--home', join(dirname(home), `device${index}`)];
  await output([...own, 'pair', address, '--code-stdin', '--json'], env, code);
}

async function output(
  [program = '', ...args]: string[],
  env: NodeJS.ProcessEnv,
  input = '',
): Promise<string> {
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${said}`);
  return said;
}

/** User and system time of one run, as the shell counts it, ms. */
async function processorMs(command: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const counted = Array.from({ length: runs }, (_, run) => run).join(' ');
  const script = `for run in ${counted}; do "$@" >&2 || exit; done; times`;
  const child = spawn('sh', ['-c', script, 'sh', ...command], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
  return childrenMs(said) / runs;
}

async function processorMsUntilReady(command: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const script = '"$@" & echo "{\\"pid\\":$!}"; wait; times';
  const child = spawn('sh', ['-c', script, 'sh', ...command], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let pid = 0;
  let rest = '';
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('{"pid"')) pid = JSON.parse(line).pid;
    else if (line.includes('"event":"ready"')) process.kill(pid, 'SIGKILL');
    else rest += `${line}\n`;
  }
  return childrenMs(rest);
}

/** From the last line of `times`. */
function childrenMs(times: string): number {
  const [user, system] = [...times.matchAll(/(\d+)m([\d.]+)s/g)]
    .slice(-2)
    .map(([, minutes, seconds]) => (Number(minutes) * 60 + Number(seconds)) * 1000);
  if (user === undefined || system === undefined) throw new Error(`no times: ${times}`);
  return user + system;
}

/** A process that runs until this one ends it. */
class Process {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  static start([program = '', ...args]: string[], env: NodeJS.ProcessEnv): Process {
    return new Process(spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'] }));
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
    const killWithMe = () => child.kill('SIGKILL');
    process.on('exit', killWithMe);
    child.once('exit', () => process.off('exit', killWithMe));
  }

  // biome-ignore lint/suspicious/noExplicitAny: each line has its own fields
  async line(part: string): Promise<any> {
    for (let next = await this.#lines.next(); !next.done; next = await this.#lines.next())
      if (next.value.includes(part)) return JSON.parse(next.value);
    throw new Error(`the process ended without ${part}`);
  }

  async residentMib(): Promise<number> {
    return Number(await output(['ps', '-o', 'rss=', '-p', String(this.#child.pid)], process.env)) / 1024;
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }
}
