// The process that asks the keychain one thing. It is separate, because the library waits for a Secret Service that does not answer,
// and nothing else in a process runs meanwhile. Whoever asked then kills this process.

import process from 'node:process';
import { Worker } from 'node:worker_threads';
import { reasonOf } from '@palyra/identity/values';

export interface KeychainRequest {
  readonly account: string;
  readonly what: 'read' | 'write' | 'remove';
  /** For `write`. */
  readonly secret?: Uint8Array;
}

export type KeychainReply = { readonly secret: Uint8Array | undefined } | { readonly problem: string };

/** The part of `@napi-rs/keyring` that is used. Its own types are not imported, because the package may be missing. */
interface Library {
  readonly Entry: new (
    service: string,
    account: string,
    options: object,
  ) => {
    getSecret(): ArrayLike<number> | null;
    setSecret(secret: Uint8Array): void;
    deleteCredential(): boolean;
  };
}

const library: string = '@napi-rs/keyring';
const service = 'palyra';
/** Without this, the library would fall back to the kernel's keyring, which forgets its keys when the machine restarts. */
const onlyPersistent = { linux: { store: 'secret-service' } };

// The asking process holds the other end of standard input until it ends, in whatever way. A separate thread waits for that.
const endsWithTheAsker = `
const input = new (require('node:net').Socket)({ fd: 0 });
input.on('error', () => {}).on('close', () => process.kill(process.pid, 'SIGKILL')).resume();
`;
new Worker(endsWithTheAsker, { eval: true }).unref();

process.once('message', async (request: KeychainRequest) => {
  const reply = await answer(request).catch((error): KeychainReply => ({ problem: reasonOf(error) }));
  process.send!(reply, () => process.exit());
});

async function answer({ account, what, secret }: KeychainRequest): Promise<KeychainReply> {
  const loaded: Library | undefined = await import(library).catch(() => undefined);
  if (!loaded) return { problem: `the package ${library} is missing` };
  const entry = new loaded.Entry(service, account, onlyPersistent);
  if (what === 'write') entry.setSecret(secret!);
  if (what === 'remove') entry.deleteCredential();
  const kept = what === 'remove' ? null : entry.getSecret();
  return { secret: kept ? Uint8Array.from(kept) : undefined };
}
