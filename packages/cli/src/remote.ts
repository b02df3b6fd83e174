// `--remote`: the operator's commands from a paired device that has the operator role, over mutual TLS.

export interface Remote {
  /** Which daemon, when the device is paired with several. */
  readonly daemon: string | undefined;
  /** Its node listener; undefined: where it was at pairing. */
  readonly address: string | undefined;
  /** The options as they were given, for follow-up commands. */
  readonly flags: string;
}

export interface RemoteOptions {
  readonly remote?: boolean;
  readonly remoteDaemon?: string;
  readonly remoteAddress?: string;
}

export function remoteOf({ remote, remoteDaemon, remoteAddress }: RemoteOptions): Remote | undefined {
  if (!remote && remoteDaemon === undefined && remoteAddress === undefined) return undefined;
  const flags = [
    '--remote',
    ...(remoteDaemon === undefined ? [] : ['--remote-daemon', remoteDaemon]),
    ...(remoteAddress === undefined ? [] : ['--remote-address', remoteAddress]),
  ];
  return { daemon: remoteDaemon, address: remoteAddress, flags: flags.join(' ') };
}

const remoteCommands =
  /^(?:pairing|devices(?! set-role)|node exec|ca(?! rotate-root)|audit|status|why)(?![\w-])/;

/** Every other command works with keys or files of the machine it runs on. @param command like `pairing code`. */
export function worksRemotely(command: string): boolean {
  return remoteCommands.test(command);
}
