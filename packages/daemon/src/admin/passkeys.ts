// The operator's passkeys.

import { IdentityError } from '@palyra/identity';
import type { Passkey } from '@palyra/identity/registry';
import { actorOf } from '@palyra/rpc/transport';
import type { AdminServiceOptions, Methods } from './options.ts';

export function passkeyMethods({
  identity: { passkeys },
  consolePasskeys,
}: AdminServiceOptions): Methods<
  'listPasskeys' | 'removePasskey' | 'beginPasskey' | 'addPasskey' | 'beginAct'
> {
  const inConsole = () => {
    if (consolePasskeys) return consolePasskeys;
    throw new IdentityError('CALLER_NOT_ALLOWED', 'Passkeys are made and used in the console only.', {
      about: 'console_login',
    });
  };
  return {
    listPasskeys: async () => ({ passkeys: (await passkeys.list()).map(toWirePasskey) }),
    removePasskey: async ({ id }, context) => toWirePasskey(await passkeys.remove(id, actorOf(context))),
    beginPasskey: async (_request, context) => ({
      optionsJson: await inConsole().beginRegistration(context),
    }),
    addPasskey: async ({ name, responseJson }, context) =>
      toWirePasskey(await inConsole().register(name, responseJson, context, actorOf(context))),
    beginAct: async ({ method, request }, context) => ({
      optionsJson: await inConsole().beginAct(method, request, context),
    }),
  };
}

function toWirePasskey({ id, name, createdAtMs }: Passkey) {
  return { id, name, createdAtMs: BigInt(createdAtMs) };
}
