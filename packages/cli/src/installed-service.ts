// Describes the daemon or the agent as a service, for any service manager: its name, its command and its needs.

export interface Service {
  readonly name: 'palyra' | 'palyra-node';
  readonly title: string;
  /** `system`: a system service, installed by root, with its own user. `user`: a service of one person, without root. */
  readonly scope: 'system' | 'user';
  /** Absolute paths of Node and of palyra's script. */
  readonly executable: readonly [node: string, script: string];
  /** Arguments of the script. Their paths are absolute. */
  readonly args: readonly string[];
  /** Absolute. */
  readonly home: string;
  /** The user that a system service runs as. */
  readonly user: string;
  /** Whether it reports its state to systemd. */
  readonly notifies: boolean;
  /** Delay of a restart: a refused agent would otherwise call a distant daemon too often. */
  readonly restartSeconds: number;
  /** A file with the master key or the passphrase; `encrypted` as `systemd-creds encrypt` writes it. */
  readonly credential?: { readonly path: string; readonly encrypted: boolean };
  /** Absolute paths outside the home that it reads. */
  readonly reads: readonly string[];
  /** Absolute path of a folder outside the home that it writes. */
  readonly writes?: string;
}

/** The default user of a system service. */
export const serviceUser = 'palyra';
/** Upper bound for a stop: longer than the longest limits.stopGraceMs. */
export const stopSeconds = 75;

type Place = Pick<Service, 'scope' | 'executable' | 'home'>;

export interface DaemonServiceOptions extends Place {
  /** Absolute path of a configuration outside the home. */
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
  /** Absolute, like `out`. */
  readonly capabilities?: string;
  readonly out?: string;
  readonly onRenew?: string;
  readonly notify?: boolean;
}

export function nodeService(options: NodeServiceOptions): Service {
  const { scope, executable, home, user, daemon, transport, capabilities, out, onRenew, notify } = options;
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
      // Each option and its value form one word, because a value may begin with a dash.
      ...Object.entries(given).flatMap(([name, value]) =>
        value === undefined ? [] : [`--${name}=${value}`],
      ),
      ...(notify ? ['--notify'] : []),
    ],
    user,
    notifies: false,
    restartSeconds: 60,
    reads: capabilities === undefined ? [] : [capabilities],
    ...(out !== undefined && { writes: out }),
  };
}
