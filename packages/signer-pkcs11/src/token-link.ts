// The daemon's side of the token process: starts it, sends one request at a time, and kills it if it does not answer.

import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname, join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import type { PlainPin, TokenCall, TokenOptions, TokenReply, TokenRequest } from './token-call.ts';

export interface LinkLimits {
  /** Time limit for one request, ms, without the time in the queue. */
  readonly callTimeoutMs: number;
  /** Time limit for the start of the process, ms. */
  readonly startTimeoutMs: number;
  /** Time limit for the logout at the end, ms. */
  readonly closeTimeoutMs: number;
  /** Pause before a new process after a killed one, ms. */
  readonly restMs: number;
  /** Most waiting callers. */
  readonly maxWaiting: number;
}

export const defaultLinkLimits: LinkLimits = {
  callTimeoutMs: 10_000,
  startTimeoutMs: 60_000,
  closeTimeoutMs: 1_000,
  restMs: 1_000,
  maxWaiting: 1_000,
};

interface Waiting {
  readonly token: TokenOptions;
  readonly call: TokenCall;
  readonly resolve: (answer: TokenReply['answer']) => void;
  readonly reject: (error: unknown) => void;
}

/** One link per module: a process initialises a module once, and two processes could both make the same key. */
const links = new Map<string, TokenLink>();
/** TypeScript in a checkout, JavaScript in a package. */
const program = join(import.meta.dirname, `token-process${extname(import.meta.filename)}`);

export class TokenLink {
  readonly #module: string;
  readonly #limits: LinkLimits;
  readonly #waiting: Waiting[] = [];
  readonly #knownPins = new Map<string, PlainPin>();
  #users = 0;
  #child: ChildProcess | undefined;
  #asked: Waiting | undefined;
  #failure: { readonly error: IdentityError; readonly until: number } | undefined;

  /** Return the link with `release`. */
  static to(module: string, limits: LinkLimits = defaultLinkLimits): TokenLink {
    const link = links.get(module) ?? new TokenLink(module, limits);
    links.set(module, link);
    link.#users += 1;
    return link;
  }

  private constructor(module: string, limits: LinkLimits) {
    this.#module = module;
    this.#limits = limits;
  }

  /** The token process while it runs, for tests. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * @throws SIGNER_UNAVAILABLE if the token process does not answer in time or ends, also for all waiting callers;
   *   TOO_MANY_REQUESTS; errors of the token.
   */
  ask(token: TokenOptions, call: TokenCall): Promise<TokenReply['answer']> {
    if (this.#waiting.length >= this.#limits.maxWaiting) {
      const message = 'Too many requests are waiting for the token. Try again later.';
      return Promise.reject(new IdentityError('TOO_MANY_REQUESTS', message, { retryAfterMs: 1_000 }));
    }
    if (this.#failure && performance.now() < this.#failure.until) return Promise.reject(this.#failure.error);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ token, call, resolve, reject });
      this.#next();
    });
  }

  /** Logs out of the token. The process ends with its last user. */
  async release(token: TokenOptions): Promise<void> {
    if (this.#child) {
      const late = setTimeout(() => this.#giveUp('did not log out in time'), this.#limits.closeTimeoutMs);
      // A removed token needs no logout.
      await this.ask(token, { does: 'close' }).catch(() => {});
      clearTimeout(late);
    }
    this.#users -= 1;
    if (this.#users > 0) return;
    links.delete(this.#module);
    this.#giveUp('was closed');
  }

  #next(): void {
    if (this.#asked) return;
    const next = this.#waiting.shift();
    if (!next) return;
    this.#asked = next;
    void this.#ask(next);
  }

  async #ask(asked: Waiting): Promise<void> {
    const { token, call } = asked;
    const { callTimeoutMs, startTimeoutMs } = this.#limits;
    const key = JSON.stringify(token);
    try {
      this.#child ??= this.#start();
      const child = this.#child;
      if (!ready.has(child)) {
        await messageOf(child, startTimeoutMs);
        ready.add(child);
      }
      const request: TokenRequest = { token, call, knownPin: this.#knownPins.get(key) };
      const answered = messageOf(child, callTimeoutMs);
      child.send(request);
      const { answer, failure, knownPin } = (await answered) as TokenReply;
      if (this.#asked !== asked) return;
      if (knownPin) this.#knownPins.set(key, knownPin);
      this.#asked = undefined;
      if (failure) asked.reject(new IdentityError(failure.code, failure.message));
      else asked.resolve(answer);
      this.#next();
    } catch (error) {
      if (this.#asked === asked) this.#giveUp((error as Error).message);
    }
  }

  #start(): ChildProcess {
    const child = fork(program, {
      serialization: 'advanced',
      // A module's own output must not mix with the daemon's.
      // Its standard input stays empty. The end of the input tells the process that the daemon has ended.
      stdio: ['pipe', 'ignore', 'inherit', 'ipc'],
      execArgv: [],
    });
    child.on('error', () => {});
    // An idle process does not keep the daemon alive.
    child.unref();
    child.channel?.unref();
    (child.stdin as Socket).unref();
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    return child;
  }

  /** Kills the process, and fails all waiting requests. */
  #giveUp(why: string): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
    const told = [...(this.#asked ? [this.#asked] : []), ...this.#waiting.splice(0)];
    this.#asked = undefined;
    if (told.length === 0) return;
    const { label } = told[0]!.token;
    const error = new IdentityError('SIGNER_UNAVAILABLE', `The token "${label}" ${why}.`);
    this.#failure = { error, until: performance.now() + this.#limits.restMs };
    for (const each of told) each.reject(error);
  }
}

const ready = new WeakSet<ChildProcess>();

/** The next message of the process. @throws Error on a timeout; its text follows the token's name. */
function messageOf(child: ChildProcess, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.ref();
    child.channel?.ref();
    const settle = (end: () => void) => {
      clearTimeout(timer);
      child.off('message', took).off('exit', ended).off('error', failed);
      child.unref();
      child.channel?.unref();
      end();
    };
    const timer = setTimeout(
      () => settle(() => reject(new Error(`did not answer in ${timeoutMs / 1000} seconds`))),
      timeoutMs,
    );
    const took = (message: unknown) => settle(() => resolve(message));
    const ended = (code: number | null, signal: string | null) =>
      settle(() => reject(new Error(`ended its process (${signal ?? `exit code ${code}`})`)));
    const failed = (error: Error) => settle(() => reject(new Error(`has no process: ${reasonOf(error)}`)));
    child.once('message', took).once('exit', ended).once('error', failed);
  });
}
