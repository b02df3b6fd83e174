// The log of a running daemon, on request: lines with a level and fields. Every line is made here, from facts that are no secrets.
// The program that runs the daemon writes the lines.

import { IdentityError } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import { reasonOf } from '@palyra/identity/values';
import { type CallObserver, peerIn } from '@palyra/rpc/transport';
import { type LogLevel, logLevels } from './log-levels.ts';

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

export type LogFields = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface LogOptions {
  /** Overrides the level of the configuration. */
  readonly level?: LogLevel | undefined;
  /** Called for each line. */
  readonly write: (line: LogLine) => void;
}

/** Characters of a stack, which quotes the texts of errors. */
const maxStackLength = 4096;

export class DaemonLog {
  readonly level: LogLevel;
  readonly #write: (line: LogLine) => void;
  readonly #now: () => number;

  constructor(level: LogLevel, write: (line: LogLine) => void, now = () => performance.now()) {
    this.level = level;
    this.#write = write;
    this.#now = now;
  }

  line(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (logLevels.indexOf(level) >= logLevels.indexOf(this.level)) this.#write({ level, message, fields });
  }

  /** A failure inside the daemon. The stack is of bugs only: the errors of ours say what is wrong. */
  error(error: unknown, where: string): void {
    const isOurs = error instanceof IdentityError;
    this.line('error', isOurs ? error.message : reasonOf(error), {
      where,
      code: isOurs ? error.code : 'INTERNAL',
      ...(!isOurs && error instanceof Error && { stack: (error.stack ?? '').slice(0, maxStackLength) }),
    });
  }

  /** A change of the registry. Never codes, words or keys. */
  change(event: RegistryEvent): void {
    const level = levels[event.type];
    if (event.type === 'pairing_changed') {
      const { id, state } = event.pairing;
      const request = 'request' in event.pairing ? event.pairing.request : undefined;
      this.line(level, 'pairing changed', {
        pairing: id,
        state,
        guesses: event.pairing.guessesTaken,
        ...(request && { device: request.deviceId, name: request.name, source: request.source }),
      });
      return;
    }
    const { type, ...facts } = event;
    const fields = Object.entries(facts).map(([name, value]) => [
      snakeCase(name),
      value instanceof Date ? value.toISOString() : value,
    ]);
    this.line(level, type.replaceAll('_', ' '), Object.fromEntries(fields));
  }

  /** A call: answered ones at debug, failed ones of devices and operators at info. Strangers must not fill the log. */
  readonly observe: CallObserver = ({ method, kind, values }) => {
    const startedAt = this.#now();
    return {
      end: (outcome) => {
        const peer = peerIn(values);
        const isKnown = peer !== undefined && peer.caller !== 'anyone';
        this.line(outcome === 'ok' || outcome === 'canceled' || !isKnown ? 'debug' : 'info', 'call', {
          method,
          kind,
          outcome,
          ms: Math.round((this.#now() - startedAt) * 10) / 10,
          caller: peer?.caller ?? 'unknown',
          ...(peer?.caller === 'device' && { transport: peer.transport, source: peer.source }),
          ...(peer?.caller === 'anyone' && { source: peer.channel.source }),
        });
      },
    };
  };
}

const levels: Readonly<Record<RegistryEvent['type'], LogLevel>> = {
  pairing_changed: 'info',
  device_revoked: 'warn',
  device_quarantined: 'warn',
  clone_suspected: 'warn',
  recovery_asked: 'warn',
  renewal_asked: 'info',
  device_role_changed: 'warn',
  authority_retired: 'warn',
  authorities_changed: 'info',
  changes_missed: 'warn',
  certificate_revoked: 'warn',
  certificate_superseded: 'debug',
};

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
