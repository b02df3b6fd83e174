// One secret in the keychain of this person's operating system: a Secret Service on Linux (GNOME, KDE), Keychain on macOS. The
// library is optional, and many machines have no keychain.

import { fork } from 'node:child_process';
import { extname, join } from 'node:path';
import { IdentityError } from '@palyra/identity';
import type { KeychainReply, KeychainRequest } from './keychain-process.ts';

/** A locked keychain asks its owner first, ms. */
const timeoutMs = 60_000;
const program = join(import.meta.dirname, `keychain-process${extname(import.meta.filename)}`);

export class Keychain {
  readonly #account: string;
  readonly #timeoutMs: number;

  /** @param account names the secret. */
  constructor(account: string, limits = { timeoutMs }) {
    this.#account = account;
    this.#timeoutMs = limits.timeoutMs;
  }

  /** @returns undefined if there is no such secret, or if the keychain hides it while it is locked. @throws STORE_FAILED */
  read(): Promise<Uint8Array | undefined> {
    return this.#ask({ what: 'read' });
  }

  /** @throws STORE_FAILED if the keychain did not keep the secret. */
  async write(secret: Uint8Array): Promise<void> {
    const kept = await this.#ask({ what: 'write', secret });
    if (!kept || Buffer.compare(kept, secret) !== 0) throw unusable('it did not keep the key');
  }

  /** @throws STORE_FAILED */
  async remove(): Promise<void> {
    await this.#ask({ what: 'remove' });
  }

  #ask(request: Omit<KeychainRequest, 'account'>): Promise<Uint8Array | undefined> {
    return ask({ account: this.#account, ...request }, this.#timeoutMs);
  }
}

async function ask(request: KeychainRequest, limitMs: number): Promise<Uint8Array | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<KeychainReply>();
  const child = fork(program, {
    serialization: 'advanced',
    stdio: ['pipe', 'ignore', 'ignore', 'ipc'],
    execArgv: [],
  });
  const timer = setTimeout(() => reject(unusable(`no answer within ${limitMs / 1000} s`)), limitMs);
  child.once('message', (reply) => resolve(reply as KeychainReply));
  child.once('error', () => reject(unusable('the process for it does not start')));
  child.once('exit', () => reject(unusable('the process for it ended')));
  child.send(request, (error) => error && reject(unusable('the process for it ended')));
  try {
    const reply = await promise;
    if ('problem' in reply) throw unusable(reply.problem);
    return reply.secret;
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

const unusable = (why: string) => new IdentityError('STORE_FAILED', `No keychain can be used here: ${why}.`);
