// The token process: loads a vendor's PKCS #11 module and uses its tokens. It is a separate process, because any call
// of a module may block for ever or crash. Then the daemon kills the process and continues.

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

// A terminal or a service manager sends signals to the whole group. This process ignores them, because the daemon may
// still need a signature for an orderly stop; it ends with the daemon. On SIGUSR1, Node would open a debugger to every
// user of the machine.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)
  process.on(signal, () => {});
// The daemon holds the other end of standard input until it ends, in whatever way. A separate thread waits for that,
// because this thread may hang in the module.
const endsWithTheDaemon = `
const input = new (require('node:net').Socket)({ fd: 0 });
input.on('error', () => {}).on('close', () => process.kill(process.pid, 'SIGKILL')).resume();
`;
new Worker(endsWithTheDaemon, { eval: true }).unref();

// The daemon sends one request at a time.
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
    // The next request loads the module again, because somebody may have installed it.
    if (!token) module = undefined;
    const { code, message } =
      error instanceof IdentityError
        ? error
        : new IdentityError('INTERNAL', `The token process failed: ${reasonOf(error)}`);
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
