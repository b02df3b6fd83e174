// The program that loads a vendor's PKCS #11 module and talks to its tokens. It is a process of its own, because any call
// of a module may block for as long as it likes, or crash: the daemon gives the process up and goes on.

import process from 'node:process';
import { Worker } from 'node:worker_threads';
import { IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import { answerCall } from './keys-in-token.ts';
import { CryptokiModule } from './module.ts';
import { KnownPin } from './pin.ts';
import { Token } from './token.ts';
import type { TokenReply, TokenRequest } from './token-call.ts';

let module: Promise<CryptokiModule> | undefined;
const tokens = new Map<string, Token>();

// A terminal or a service manager sends its signals to the whole group. The daemon may still need a signature to stop in
// order; this process ends with it. On SIGUSR1 Node would open a debugger, to every user of the machine.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)
  process.on(signal, () => {});
// The daemon holds the other end of standard input for as long as it lives, however it ends. A thread waits for that, because
// this one may hang in the module.
const endsWithTheDaemon = `
const input = new (require('node:net').Socket)({ fd: 0 });
input.on('error', () => {}).on('close', () => process.kill(process.pid, 'SIGKILL')).resume();
`;
new Worker(endsWithTheDaemon, { eval: true }).unref();

// The daemon asks one thing at a time.
process.on('message', async (request: TokenRequest) => {
  process.send!(await reply(request));
});
process.send!('ready');

async function reply(request: TokenRequest): Promise<TokenReply> {
  let token: Token | undefined;
  try {
    module ??= CryptokiModule.load(request.token.module);
    token = tokenOf(await module, request);
    const answer = await answerCall(token, request.call);
    return { answer, knownPin: token.knownPin };
  } catch (error) {
    // The next request loads it again: a module that was missing may have been installed.
    if (!token) module = undefined;
    const { code, message } =
      error instanceof IdentityError
        ? error
        : new IdentityError('INTERNAL', `The token's process failed: ${reasonOf(error)}`);
    return { failure: { code, message }, knownPin: token?.knownPin };
  }
}

function tokenOf(loaded: CryptokiModule, { token: options, knownPin }: TokenRequest): Token {
  const key = JSON.stringify(options);
  const token = tokens.get(key) ?? new Token(loaded, options);
  tokens.set(key, token);
  token.knownPin ??= knownPin && new KnownPin(knownPin);
  return token;
}
