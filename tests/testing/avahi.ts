// Debian's avahi-daemon with its own message bus, in a network namespace: another implementation of multicast DNS.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NetworkNamespace } from './network-namespace.ts';
import type { Scope } from './palyra-process.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';

export interface AvahiService {
  readonly name: string;
  readonly port: number;
  readonly txt: readonly string[];
}

/** It has its own `/run` and folder of services, which end with it. */
const script = `
mount -t tmpfs none /run && mkdir -p /run/dbus /run/avahi-daemon
mount --bind "$1" /etc/avahi/services
dbus-daemon --system --nofork --nopidfile &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
avahi-daemon --no-drop-root --no-chroot --no-rlimits &
echo $$
wait
`;

export class Avahi {
  readonly #child: ChildProcess;
  readonly #pid: string;

  /** Starts it, and waits until it answers on its bus. */
  static async start(
    scope: Scope,
    namespace: NetworkNamespace,
    services: readonly AvahiService[] = [],
  ): Promise<Avahi> {
    const folder = join(temporaryFolder(), 'services');
    mkdirSync(folder);
    for (const [at, service] of services.entries())
      writeFileSync(join(folder, `${at}.service`), fileOf(service));
    const [command, ...words] = [...namespace.under, 'unshare', '--mount', '--pid', '--fork', '--kill-child'];
    const child = spawn(command!, [...words, '--mount-proc', 'sh', '-c', script, 'sh', folder], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    scope.after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'close');
    });
    await once(child.stdout!, 'data');
    const pid = await until('the process in the namespace', () => childOf(child.pid!));
    const avahi = new Avahi(child, pid);
    await until('avahi answers', () => avahi.#run(['avahi-browse', '--terminate', '--all']) !== undefined);
    return avahi;
  }

  private constructor(child: ChildProcess, pid: string) {
    this.#child = child;
    this.#pid = pid;
  }

  /** Lines of resolved services, with fields separated by semicolons. */
  browse(type: string): string[][] {
    const words = ['avahi-browse', '--resolve', '--terminate', '--parsable', type];
    const lines = (this.#run(words) ?? '').split('\n');
    return lines.filter((line) => line.startsWith('=')).map((line) => line.split(';'));
  }

  #run(command: readonly string[]): string | undefined {
    if (this.#child.exitCode !== null) throw new Error('avahi has ended');
    const into = ['--target', this.#pid, '--mount', '--net'];
    const { status, stdout } = spawnSync('nsenter', [...into, ...command], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    return status === 0 ? stdout : undefined;
  }
}

const childOf = (pid: number) =>
  spawnSync('pgrep', ['--parent', String(pid), '--full', 'sh -c'], { encoding: 'utf8' }).stdout.trim();

const fileOf = ({ name, port, txt }: AvahiService) => `<?xml version="1.0" standalone="no"?>
<!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>${name}</name><service><type>_palyra._tcp</type><port>${port}</port>
${txt.map((each) => `<txt-record>${each}</txt-record>`).join('')}</service></service-group>`;

/** The reason why avahi cannot run here; false if it can. */
export function avahiMissing(): string | false {
  for (const program of ['avahi-daemon', 'avahi-browse', 'dbus-daemon', 'nsenter', 'pgrep']) {
    if (spawnSync(program, ['--version']).error)
      return `NOT TESTED: ${program} is missing (Debian: avahi-daemon avahi-utils dbus)`;
  }
  return false;
}
