// One run of the command: everything that it takes from the process. Only main.ts touches the process.

import type { Readable, Writable } from 'node:stream';

export type Input = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
export type Sink = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

export interface Invocation {
  /** The arguments after the program's name. */
  readonly args: readonly string[];
  readonly stdin: Input;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** NO_COLOR is set, or the terminal knows no colours. */
  readonly noColor: boolean;
  /** Whether boxes and the like can be shown, by TERM and the locale (plain-ascii.ts). */
  readonly showsBoxes: boolean;
  /** The terminal can print only lines. */
  readonly dumbTerminal: boolean;
  /** PALYRA_HOME. */
  readonly palyraHome: string | undefined;
  /** Undefined if neither HOME nor the system names it. */
  readonly userHome: string | undefined;
  /** The environment of started programs: PATH and HOME. */
  readonly environment: NodeJS.ProcessEnv;
  /** How programs find this person's desktop: DBUS_SESSION_BUS_ADDRESS, XDG_RUNTIME_DIR and DISPLAY. */
  readonly desktop: NodeJS.ProcessEnv;
  /** HTTPS_PROXY and NO_PROXY, the variables of curl and Go: the proxy for channels to `wss:` addresses. */
  readonly webProxy: { readonly proxy?: string | undefined; readonly noProxy?: string | undefined };
  readonly hostName: string;
  /** Like `linux-x64 node-24.21`. */
  readonly platform: string;
  /** The command that this person types: `palyra`, or `npx palyra` in a checkout. */
  readonly program: string;
  /** Runs the function when the process ends, for whatever reason. @returns a function that cancels it. */
  readonly atExit: (work: () => void) => () => void;
  /**
   * Aborted by the first Ctrl-C, SIGTERM, closed terminal or unwritable output. The reason is the error with which the
   * run ends.
   */
  readonly interrupted: AbortSignal;
  /** From now on, a closed terminal or an unwritable output does not end the run. */
  readonly outlivesTerminal: () => void;
  /** Called at the second Ctrl-C. It ends the process at once, unless a command replaces the function. */
  readonly onInsistence: (take: () => void) => void;
  readonly pid: number;
  /** Absolute paths of Node and of the script of this run. */
  readonly executable: readonly [node: string, script: string];
  /** Whether this user may install services. */
  readonly isRoot: boolean;
  /** The requests of a service manager: sd_notify(3), sd_watchdog_enabled(3). */
  readonly supervision: {
    readonly NOTIFY_SOCKET?: string | undefined;
    readonly WATCHDOG_USEC?: string | undefined;
    readonly WATCHDOG_PID?: string | undefined;
  };
}
