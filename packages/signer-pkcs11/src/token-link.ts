// The daemon's side of the process that talks to a token: starts it, asks it one thing at a time, and gives it up when it
// does not answer.

import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname, join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import type { PlainPin, TokenCall, TokenOptions, TokenReply, TokenRequest } from './token-call.ts';

export interface LinkLimits {
  /** How long the token may take for one thing it is asked, ms. The time in the queue does not count. */
  readonly callTimeoutMs: number;
  /** How long its process may take to start, ms. */
  readonly startTimeoutMs: number;
  /** How long it may take to log out at the end, ms. */
  readonly closeTimeoutMs: number;
  /** How long a process that was given up is not followed by another, ms. */
  readonly restMs: number;
  /** Callers that wait at one time. */
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

/** One for each module: within a process a module is initialised once, and two that make one key at a time make two. */
const links = new Map<string, TokenLink>();
/** A source in the checkout, JavaScript in a package. */
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

  /** To be given back with `release`. */
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

  /** The process that talks to the token, while there is one. For tests. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * @throws SIGNER_UNAVAILABLE when the token's process does not answer in time or ends, also for everybody who waits behind;
   *   TOO_MANY_REQUESTS; what the token says.
   */
  ask(token: TokenOptions, call: TokenCall): Promise<TokenReply['answer']> {
    if (this.#waiting.length >= this.#limits.maxWaiting) {
      const message = 'Too many signatures wait for the token. Try again later.';
      return Promise.reject(new IdentityError('TOO_MANY_REQUESTS', message, { retryAfterMs: 1_000 }));
    }
    if (this.#failure && performance.now() < this.#failure.until) return Promise.reject(this.#failure.error);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ token, call, resolve, reject });
      this.#next();
    });
  }

  /** The token is logged out; its process ends with its last user. */
  async release(token: TokenOptions): Promise<void> {
    if (this.#child) {
      const late = setTimeout(() => this.#giveUp('did not log out in time'), this.#limits.closeTimeoutMs);
      // A token that is away needs no logout.
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
      // A module's own words must not get into what the daemon prints.
      // Nothing is written to its standard input: its end tells the process that this one is gone.
      stdio: ['pipe', 'ignore', 'inherit', 'ipc'],
      execArgv: [],
    });
    child.on('error', () => {});
    // While nothing is asked it does not keep this process alive.
    child.unref();
    child.channel?.unref();
    (child.stdin as Socket).unref();
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    return child;
  }

  /** Ends the process, and tells everybody who waits. */
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

/** The next message of the process. @throws Error, worded to follow the token's name, when there is none in time. */
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
