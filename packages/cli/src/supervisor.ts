// Reports the state of the daemon to the service manager: sd_notify(3). Node has no Unix datagram sockets, so
// systemd-notify sends the messages. It comes with systemd, and supports every kind of address in NOTIFY_SOCKET.
// Because it is a separate process, a unit needs NotifyAccess=all.

import { execFile } from 'node:child_process';
import type { Invocation } from './invocation.ts';

export interface Supervisor {
  /** Reports that the daemon serves, and starts the watchdog messages if the service manager asks for them. */
  ready(status: string): void;
  stopping(status: string): void;
  /** Resolves when every message has been sent or has failed. */
  readonly told: Promise<void>;
}

/** Time limit for one message, ms. */
const tellTimeoutMs = 10_000;
/** Watchdog messages within the time after which the service manager restarts the daemon: one may be lost. */
const signsPerTimeout = 3;
const longestTimerMs = 2 ** 31 - 1;

/** Sends nothing without a service manager. */
export function supervisorOf(
  { supervision, environment, pid }: Pick<Invocation, 'supervision' | 'environment' | 'pid'>,
  onProblem: (problem: string) => void,
): Supervisor {
  const { NOTIFY_SOCKET } = supervision;
  let told = Promise.resolve();
  let signs: NodeJS.Timeout | undefined;

  function tell(...words: readonly string[]): void {
    if (!NOTIFY_SOCKET) return;
    // Messages go one after the other, so that none overtakes READY.
    told = told.then(() =>
      systemdNotify(words, { ...environment, NOTIFY_SOCKET }).catch((error: Error) =>
        onProblem(`Sending ${words[0]} to the service manager failed: ${error.message.trim()}`),
      ),
    );
  }

  return {
    ready(status) {
      tell('READY=1', `STATUS=${status}`, `MAINPID=${pid}`);
      const timeoutMs = watchdogMs(supervision, pid, onProblem);
      if (timeoutMs === undefined) return;
      // This timer runs on the event loop that serves requests, so the messages stop when it hangs.
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

/** Undefined when the service manager asks for no watchdog messages, or asks another process for them. */
function watchdogMs(
  { WATCHDOG_USEC, WATCHDOG_PID }: Invocation['supervision'],
  pid: number,
  onProblem: (problem: string) => void,
): number | undefined {
  if (!WATCHDOG_USEC || (WATCHDOG_PID && WATCHDOG_PID !== String(pid))) return undefined;
  if (/^[1-9][0-9]{3,18}$/.test(WATCHDOG_USEC)) return Number(WATCHDOG_USEC) / 1000;
  onProblem('WATCHDOG_USEC is not a time in microseconds; no watchdog messages are sent.');
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
