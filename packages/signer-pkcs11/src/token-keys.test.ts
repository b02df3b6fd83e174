// Keys in a real token: SoftHSM 2.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  hasCode,
  type IdentityErrorCode,
  IdentityManager,
  MemorySecretStore,
  makeUlid,
  type Signer,
  type Ulid,
} from '@palyra/identity';
import { authorityKeysSuite } from '@palyra/identity/authority-keys-suite';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { CKA_EXTRACTABLE, CKA_LABEL, CKA_SENSITIVE, CKO_PRIVATE_KEY, type Cryptoki } from './cryptoki.ts';
import { CryptokiModule } from './module.ts';
import { missingForTokens, SoftToken, softhsmModule } from './testing/soft-token.ts';
import { findObjects, Token } from './token.ts';
import { TokenKeys } from './token-keys.ts';

const skip = missingForTokens();
const newId = (): Ulid => makeUlid(new Date(), crypto.getRandomValues(new Uint8Array(10)));
/** Every token of this file is in one folder, which goes at the end. */
const kept = { after() {} };
const data = new TextEncoder().encode('what is signed');

function holds(signer: Signer, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.from(signer.publicKey), type: 'spki', format: 'der' });
  return verify('sha256', data, key, signature);
}

function rejects(promise: Promise<unknown>, code: IdentityErrorCode, message = /./): Promise<void> {
  return assert.rejects(promise, (error) => hasCode(error, code) && message.test(error.message));
}

let first: SoftToken | undefined;
after(async () => {
  if (first) await rm(first.folder, { recursive: true });
});
const makeToken = async (): Promise<SoftToken> => {
  // The module reads its configuration once, so every token of this process is in one folder.
  first ??= await SoftToken.make(kept, 'palyra first');
  process.env.SOFTHSM2_CONF = first.env.SOFTHSM2_CONF;
  const token = await SoftToken.make(kept, undefined, first);
  (await CryptokiModule.load(softhsmModule)).initialize();
  return token;
};
const options = (token: SoftToken) => ({
  module: softhsmModule,
  label: token.label,
  pinFile: token.pinFile,
  refusedMarker: join(token.folder, `${token.label} refused`),
});
const open = async (t: TestContext, token: SoftToken): Promise<TokenKeys> => {
  const keys = await TokenKeys.open(options(token));
  t.after(() => keys.close());
  return keys;
};

authorityKeysSuite('CA keys in a token', { skip }, async (t) => {
  const token = await makeToken();
  return () => open(t, token);
});

describe('keys of a CA in a token', { skip }, () => {
  it('says which token it is, by label and serial number', async (t) => {
    const token = await makeToken();
    const { provider, token: label, serial } = (await open(t, token)).place;
    assert.deepEqual({ provider, label }, { provider: 'pkcs11', label: token.label });
    assert.match(serial, /^[0-9a-f]{16}$/);
  });

  it('a private key cannot be read out of the token', async (t) => {
    const token = await makeToken();
    const keys = await open(t, token);
    const id = newId();
    await keys.make(id);
    const session = await Token.open(options(token));
    await session.token.use((opened) => {
      const [key] = findObjects(opened, CKO_PRIVATE_KEY, id);
      const read = (type: number) =>
        opened.api.C_GetAttributeValue(opened.handle, key!, [{ type }])[0]?.value;
      assert.deepEqual(read(CKA_SENSITIVE), Buffer.of(1));
      assert.deepEqual(read(CKA_EXTRACTABLE), Buffer.of(0));
      assert.equal(String(read(CKA_LABEL)), keys.nameOf(id));
      const CKA_VALUE = 0x11;
      assert.throws(() => read(CKA_VALUE), /CKR_ATTRIBUTE_SENSITIVE/);
    });
    await session.token.close();
  });

  it('a key that is removed while its signer is in use is missed, and the others sign on', async (t) => {
    const token = await makeToken();
    const keys = await open(t, token);
    const [gone, kept] = [newId(), newId()];
    const [goneSigner, keptSigner] = [await keys.make(gone), await keys.make(kept)];
    await token.removeKey(gone);
    await rejects(Promise.resolve(goneSigner.sign(data)), 'SECRET_NOT_FOUND');
    assert.ok(holds(keptSigner, await keptSigner.sign(data)));
  });

  it('a token that is away is said to be, and signs again when it is back', async (t) => {
    const token = await makeToken();
    const signer = await (await open(t, token)).make(newId());
    await token.unplug();
    await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_UNAVAILABLE');
    await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_UNAVAILABLE');
    await token.plugIn();
    assert.ok(holds(signer, await untilBack(() => signer.sign(data))));
  });

  it('a wrong PIN is tried once and never again, also by the next process', async () => {
    const token = await makeToken();
    await token.writePin('000000');
    const tries = await countLogins(async () => {
      await rejects(TokenKeys.open(options(token)), 'SIGNER_PIN_WRONG', /run: rm /);
      await rejects(TokenKeys.open(options(token)), 'SIGNER_PIN_WRONG', /run: rm /);
      await token.writePin(`${token.pin}\n`);
      await rejects(TokenKeys.open(options(token)), 'SIGNER_PIN_WRONG', /run: rm /);
    });
    assert.equal(tries, 1);
    await rm(options(token).refusedMarker);
    const keys = await TokenKeys.open(options(token));
    await assert.rejects(access(options(token).refusedMarker));
    await keys.close();
  });

  it('a PIN that became wrong while the daemon runs is tried once and never again', async (t) => {
    const token = await makeToken();
    const signer = await (await open(t, token)).make(newId());
    await token.writePin('000000');
    await token.unplug();
    await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_UNAVAILABLE');
    await token.plugIn();
    const tries = await countLogins(async () => {
      await assert.rejects(
        untilBack(() => signer.sign(data)),
        (error) => hasCode(error, 'SIGNER_PIN_WRONG'),
      );
      await sleep(1_100);
      await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_PIN_WRONG');
    });
    assert.equal(tries, 1);
  });

  it('a process that ended while it asked the token leaves word of it, and the PIN is not tried again', async () => {
    const token = await makeToken();
    const dying = spawnSync(process.execPath, ['--input-type=module', '--eval', diesInLogin], {
      cwd: import.meta.dirname,
      env: { ...process.env, ...token.env, OPTIONS: JSON.stringify(options(token)) },
    });
    assert.equal(dying.signal, 'SIGKILL', String(dying.stderr));
    const tries = await countLogins(() =>
      rejects(TokenKeys.open(options(token)), 'SIGNER_PIN_WRONG', /does not know .* run: rm /),
    );
    assert.equal(tries, 0);
    await rm(options(token).refusedMarker);
    await (await TokenKeys.open(options(token))).close();
  });

  it('a token of the same label and another serial number does not see the PIN', async (t) => {
    const token = await makeToken();
    const keys = await open(t, token);
    const signer = await keys.make(newId());
    await token.unplug();
    await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_UNAVAILABLE');
    await SoftToken.make(kept, token.label, token);
    const tries = await countLogins(async () => {
      await rejects(
        untilBack(() => signer.sign(data)),
        'SIGNER_MISMATCH',
        new RegExp(`serial number ${keys.place.serial}; .*not given the PIN`),
      );
      await rejects(TokenKeys.open({ ...options(token), serial: keys.place.serial }), 'SIGNER_MISMATCH');
    });
    assert.equal(tries, 0);
    await rm(join(token.folder, 'tokens'), { recursive: true });
    await token.plugIn();
    assert.ok(holds(signer, await untilBack(() => signer.sign(data), 'SIGNER_MISMATCH')));
  });

  it('the try that would lock the token is left to its owner', async () => {
    const token = await makeToken();
    const { api } = await CryptokiModule.load(softhsmModule);
    const info = api.C_GetTokenInfo;
    const finalTry = 0x20000;
    const tries = await countLogins(async () => {
      api.C_GetTokenInfo = (slot) => {
        const told = info.call(api, slot);
        return { ...told, flags: told.flags | finalTry };
      };
      try {
        await rejects(TokenKeys.open(options(token)), 'SIGNER_PIN_WRONG', /Log in to it yourself/);
      } finally {
        api.C_GetTokenInfo = info;
      }
    });
    assert.equal(tries, 0);
  });

  it('a token is found by its label alone, and two of one label are refused', async () => {
    const token = await makeToken();
    await rejects(
      TokenKeys.open({ ...options(token), label: 'another' }),
      'SIGNER_UNAVAILABLE',
      /"another" is not there/,
    );
    await SoftToken.make(kept, token.label, token);
    (await CryptokiModule.load(softhsmModule)).initialize();
    await rejects(TokenKeys.open(options(token)), 'SIGNER_UNAVAILABLE', /Two tokens/);
  });

  it('a module that is missing or is no module is named', async () => {
    const token = await makeToken();
    for (const module of [join(token.folder, 'none.so'), token.pinFile]) {
      await rejects(TokenKeys.open({ ...options(token), module }), 'SIGNER_UNAVAILABLE', /caKey\.module/);
    }
  });

  it('two daemons with homes of their own share a token and do not meet', async (t) => {
    const token = await makeToken();
    const [one, two] = [await identity(t, await open(t, token)), await identity(t, await open(t, token))];
    assert.notEqual(one.rootFingerprint, two.rootFingerprint);
    for (const each of [one, two]) await each.issueServerCredential({ dnsNames: [], ipAddresses: [] });
    const keys = await open(t, token);
    for (const each of [one, two]) {
      for (const { id } of await each.registry.authorities()) await keys.load(id);
    }
  });

  it('keys of a CA do not move between the secret store and a token', async (t) => {
    const secrets = new MemorySecretStore();
    const registry = await openSqliteRegistry({ path: ':memory:' });
    t.after(() => registry.close());
    const [token, other] = [await makeToken(), await makeToken()];
    await IdentityManager.open({ secrets, registry, authorityKeys: await open(t, token) });
    await rejects(IdentityManager.open({ secrets, registry }), 'SIGNER_MISMATCH', /caKey/);
    await rejects(
      IdentityManager.open({ secrets, registry, authorityKeys: await open(t, other) }),
      'SIGNER_MISMATCH',
      /another one/,
    );
    const root = (await registry.authorities()).find(({ tier }) => tier === 'root')!;
    await token.removeKey(root.id);
    await rejects(
      IdentityManager.open({ secrets, registry, authorityKeys: await open(t, token) }),
      'SECRET_NOT_FOUND',
      /was removed/,
    );
  });

  async function identity(t: TestContext, authorityKeys: TokenKeys): Promise<IdentityManager> {
    const registry = await openSqliteRegistry({ path: ':memory:' });
    t.after(() => registry.close());
    return IdentityManager.open({ secrets: new MemorySecretStore(), registry, authorityKeys });
  }
});

/** The token is looked for again only after a rest. */
async function untilBack<T>(
  attempt: () => T | Promise<T>,
  until: IdentityErrorCode = 'SIGNER_UNAVAILABLE',
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!hasCode(error, until)) throw error;
      await sleep(50);
    }
  }
}

const diesInLogin = `
import { CryptokiModule } from './module.ts';
import { TokenKeys } from './token-keys.ts';
const options = JSON.parse(process.env.OPTIONS);
const { api } = await CryptokiModule.load(options.module);
api.C_Login = () => process.kill(process.pid, 'SIGKILL');
await TokenKeys.open(options);
`;

/** How often the token was given a PIN meanwhile. */
async function countLogins(during: () => Promise<void>): Promise<number> {
  const { api } = await CryptokiModule.load(softhsmModule);
  const login: Cryptoki['C_Login'] = api.C_Login;
  let count = 0;
  api.C_Login = (...given) => {
    count += 1;
    login.apply(api, given);
  };
  try {
    await during();
  } finally {
    api.C_Login = login;
  }
  return count;
}
