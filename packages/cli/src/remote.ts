// `--remote`: runs operator commands over mutual TLS from a paired device that has the operator role.

export interface Remote {
  /** Names the daemon, if the device is paired with several. */
  readonly daemon: string | undefined;
  /** The daemon's node listener; undefined: its known endpoints. */
  readonly address: string | undefined;
  /** The options as the person gave them, for follow-up commands. */
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

/** All other commands need keys or files of the daemon's machine. @param command like `pairing code`. */
export function worksRemotely(command: string): boolean {
  return remoteCommands.test(command);
}
