// One run of the command: everything it gets from the process, which only main.ts touches.

import type { Readable, Writable } from 'node:stream';

export type Input = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
export type Sink = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

export interface Invocation {
  /** What follows the program's name. */
  readonly args: readonly string[];
  readonly stdin: Input;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** NO_COLOR is set, or the terminal knows no colours. */
  readonly noColor: boolean;
  /** It prints lines and nothing else. */
  readonly dumbTerminal: boolean;
  /** PALYRA_HOME. */
  readonly palyraHome: string | undefined;
  /** Undefined when nobody says where it is. */
  readonly userHome: string | undefined;
  /** What programs that are started get to see: PATH and HOME. */
  readonly environment: NodeJS.ProcessEnv;
  readonly hostName: string;
  /** Like `linux-x64 node-24.21`. */
  readonly platform: string;
  /** How this person starts the program: `palyra`, or `npx palyra` in a checkout. */
  readonly program: string;
  /** Does it when the process ends, however that comes about. @returns the function that takes it back. */
  readonly atExit: (work: () => void) => () => void;
  /** Aborted by the first Ctrl-C, SIGTERM, closed terminal or output that cannot be written; the reason is the error to end with. */
  readonly interrupted: AbortSignal;
  /** From now on neither a terminal that closes nor an output that cannot be written ends the run. */
  readonly outlivesTerminal: () => void;
  /** The second one ends the process at once, unless a command that takes its time to end takes that over. */
  readonly onInsistence: (take: () => void) => void;
  readonly pid: number;
  /** Node and the script that this run was started with, absolute. */
  readonly executable: readonly [node: string, script: string];
  /** Of a user that may install services. */
  readonly isRoot: boolean;
  /** What a service manager asks for: sd_notify(3), sd_watchdog_enabled(3). */
  readonly supervision: {
    readonly NOTIFY_SOCKET?: string | undefined;
    readonly WATCHDOG_USEC?: string | undefined;
    readonly WATCHDOG_PID?: string | undefined;
  };
}
