// One run of the command: everything it gets from the process, which only main.ts touches.

import type { Readable, Writable } from 'node:stream';

export type Input = Readable & { readonly isTTY?: boolean };
export type Sink = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export interface Invocation {
  /** What follows the program's name. */
  readonly args: readonly string[];
  readonly stdin: Input;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** NO_COLOR is set, or the terminal knows no colours. */
  readonly noColor: boolean;
  /** PALYRA_HOME. */
  readonly palyraHome: string | undefined;
  readonly userHome: string;
  /** What programs that are started get to see: PATH and HOME. */
  readonly environment: NodeJS.ProcessEnv;
  readonly hostName: string;
  /** Like `linux-x64 node-24.21`. */
  readonly platform: string;
  /** How this person starts the program: `palyra`, or `npx palyra` in a checkout. */
  readonly program: string;
  /** Aborted by the first Ctrl-C, SIGTERM or closed output; the reason is the error to end with. */
  readonly interrupted: AbortSignal;
}
