// Tells the service manager how the daemon is: sd_notify(3). Node has no Unix datagram sockets, so systemd's own command
// sends the words; it is there wherever systemd is, and knows every kind of address that NOTIFY_SOCKET can have.
// Because that is another process than the daemon, a unit needs NotifyAccess=all.

import { execFile } from 'node:child_process';
import type { Invocation } from './invocation.ts';

export interface Supervisor {
  /** The daemon serves. From now on it proves that it lives, where that is asked for. */
  ready(status: string): void;
  stopping(status: string): void;
  /** Resolves when all of it has been said, or could not be. */
  readonly told: Promise<void>;
}

/** How long one message may take, ms. */
const tellTimeoutMs = 10_000;
/** Signs of life in the time after which the service manager would restart the daemon: one may be lost. */
const signsPerTimeout = 3;
const longestTimerMs = 2 ** 31 - 1;

/** Does nothing without a service manager. */
export function supervisorOf(
  { supervision, environment, pid }: Pick<Invocation, 'supervision' | 'environment' | 'pid'>,
  onProblem: (problem: string) => void,
): Supervisor {
  const { NOTIFY_SOCKET } = supervision;
  let told = Promise.resolve();
  let signs: NodeJS.Timeout | undefined;

  function tell(...words: readonly string[]): void {
    if (!NOTIFY_SOCKET) return;
    // One after the other: READY must not be overtaken.
    told = told.then(() =>
      systemdNotify(words, { ...environment, NOTIFY_SOCKET }).catch((error: Error) =>
        onProblem(`The service manager could not be told ${words[0]}: ${error.message.trim()}`),
      ),
    );
  }

  return {
    ready(status) {
      tell('READY=1', `STATUS=${status}`, `MAINPID=${pid}`);
      const timeoutMs = watchdogMs(supervision, pid, onProblem);
      if (timeoutMs === undefined) return;
      // By the event loop that serves everybody: when that hangs, so do the signs.
      signs = setInterval(() => tell('WATCHDOG=1'), Math.min(timeoutMs / signsPerTimeout, longestTimerMs));
      signs.unref();
    },
    stopping(status) {
      clearInterval(signs);
      tell('STOPPING=1', `STATUS=${status}`);
    },
    get told() {
      return told;
    },
  };
}

/** Undefined when no sign of life is asked for, or of another process. */
function watchdogMs(
  { WATCHDOG_USEC, WATCHDOG_PID }: Invocation['supervision'],
  pid: number,
  onProblem: (problem: string) => void,
): number | undefined {
  if (!WATCHDOG_USEC || (WATCHDOG_PID && WATCHDOG_PID !== String(pid))) return undefined;
  if (/^[1-9][0-9]{3,18}$/.test(WATCHDOG_USEC)) return Number(WATCHDOG_USEC) / 1000;
  onProblem('WATCHDOG_USEC is no time in microseconds; no sign of life is given.');
  return undefined;
}

function systemdNotify(words: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('systemd-notify', words, { env, timeout: tellTimeoutMs }, (error, _stdout, stderr) => {
      if (error) reject(stderr ? new Error(stderr) : error);
      else resolve();
    });
  });
}
