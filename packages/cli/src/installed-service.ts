// What runs as a service, daemon or agent, whoever starts it: its name, its command, and what it needs of the machine.

export interface Service {
  readonly name: 'palyra' | 'palyra-node';
  readonly title: string;
  /** `system`: the machine's, by root, as a user of its own. `user`: one person's, without root. */
  readonly scope: 'system' | 'user';
  /** Absolute: Node and the script of palyra. */
  readonly executable: readonly [node: string, script: string];
  /** Of the script. Paths in it are absolute. */
  readonly args: readonly string[];
  /** Absolute. */
  readonly home: string;
  /** Whom a service of the machine runs as. */
  readonly user: string;
  /** It tells systemd how it is. */
  readonly notifies: boolean;
  /** How long a restart waits: a refused agent asks a daemon that may be far away. */
  readonly restartSeconds: number;
  /** A file with the master key or the passphrase; `encrypted` as `systemd-creds encrypt` writes it. */
  readonly credential?: { readonly path: string; readonly encrypted: boolean };
  /** Files and folders beside the home that it reads, absolute. */
  readonly reads: readonly string[];
  /** A folder beside the home that it writes, absolute. */
  readonly writes?: string;
}

/** The user of a service of the machine, unless another one is named. */
export const serviceUser = 'palyra';
/** How long the longest stop takes: longer than the longest limits.stopGraceMs. */
export const stopSeconds = 75;

type Place = Pick<Service, 'scope' | 'executable' | 'home'>;

export interface DaemonServiceOptions extends Place {
  /** A configuration elsewhere than in the home, absolute. */
  readonly config?: string;
  readonly credential?: NonNullable<Service['credential']>;
}

export function daemonService({ config, credential, ...place }: DaemonServiceOptions): Service {
  return {
    ...place,
    name: 'palyra',
    title: 'Palyra Identity daemon',
    args: [
      'daemon',
      '--home',
      place.home,
      '--no-code',
      ...(config === undefined ? [] : ['--config', config]),
    ],
    user: serviceUser,
    notifies: true,
    restartSeconds: 5,
    ...(credential && { credential }),
    reads: config === undefined ? [] : [config],
  };
}

export interface NodeServiceOptions extends Place {
  readonly user: string;
  readonly daemon?: string;
  readonly transport?: string;
  /** Absolute, as `out`. */
  readonly capabilities?: string;
  readonly out?: string;
  readonly onRenew?: string;
}

export function nodeService(options: NodeServiceOptions): Service {
  const { scope, executable, home, user, daemon, transport, capabilities, out, onRenew } = options;
  const given = { daemon, transport, capabilities, out, 'on-renew': onRenew };
  return {
    scope,
    executable,
    home,
    name: 'palyra-node',
    title: 'Palyra Identity agent',
    args: [
      'node',
      'run',
      '--home',
      home,
      // One word each: a value may begin with a dash.
      ...Object.entries(given).flatMap(([name, value]) =>
        value === undefined ? [] : [`--${name}=${value}`],
      ),
    ],
    user,
    notifies: false,
    restartSeconds: 60,
    reads: capabilities === undefined ? [] : [capabilities],
    ...(out !== undefined && { writes: out }),
  };
}
