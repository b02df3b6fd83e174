// Keys in a real token: SoftHSM 2.

import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { access, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, type IdentityErrorCode, IdentityManager, MemorySecretStore } from '@palyra/identity';
import { authorityKeysSuite } from '@palyra/identity/authority-keys-suite';
import type { Signer } from '@palyra/identity/certificate';
import { makeUlid, type Ulid } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { until } from '../../../tests/testing/until.ts';
import { CKA_EXTRACTABLE, CKA_LABEL, CKA_SENSITIVE, CKO_PRIVATE_KEY } from './cryptoki.ts';
import { findObjects } from './keys-in-token.ts';
import { CryptokiModule } from './module.ts';
import { missingForTokens, SoftToken, softhsmModule } from './testing/soft-token.ts';
import { missingCompiler, TroubledModule } from './testing/troubled-module.ts';
import { Token } from './token.ts';
import { TokenKeys } from './token-keys.ts';
import { defaultLinkLimits } from './token-link.ts';

const skip = missingForTokens() || missingCompiler;
const newId = (): Ulid => makeUlid(new Date(), crypto.getRandomValues(new Uint8Array(10)));
/** All tokens of this file are in one folder, which is removed at the end. */
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
  return SoftToken.make(kept, undefined, first);
};
/** SoftHSM, with its calls counted. */
let counted: TroubledModule | undefined;
const module = (): TroubledModule => {
  counted ??= new TroubledModule(first!.folder);
  Object.assign(process.env, counted.env);
  return counted;
};
const options = (token: SoftToken) => ({
  module: module().path,
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
  it('names its token by label and serial number', async (t) => {
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
    const session = new Token(await CryptokiModule.load(softhsmModule), options(token));
    await session.use((opened) => {
      const [key] = findObjects(opened, CKO_PRIVATE_KEY, id);
      const read = (type: number) =>
        opened.api.C_GetAttributeValue(opened.handle, key!, [{ type }])[0]?.value;
      assert.deepEqual(read(CKA_SENSITIVE), Buffer.of(1));
      assert.deepEqual(read(CKA_EXTRACTABLE), Buffer.of(0));
      assert.equal(String(read(CKA_LABEL)), keys.nameOf(id));
      const CKA_VALUE = 0x11;
      assert.throws(() => read(CKA_VALUE), /CKR_ATTRIBUTE_SENSITIVE/);
    });
    session.close();
  });

  it('a key that is removed while its signer is in use causes an error, and the others keep signing', async (t) => {
    const token = await makeToken();
    const keys = await open(t, token);
    const [gone, kept] = [newId(), newId()];
    const [goneSigner, keptSigner] = [await keys.make(gone), await keys.make(kept)];
    await token.removeKey(gone);
    await rejects(keys.check(gone), 'SECRET_NOT_FOUND');
    await keys.check(kept);
    await rejects(Promise.resolve(goneSigner.sign(data)), 'SECRET_NOT_FOUND');
    assert.ok(holds(keptSigner, await keptSigner.sign(data)));
  });

  it('an unplugged token is reported, and signs again when it is back', async (t) => {
    const token = await makeToken();
    const keys = await open(t, token);
    const id = newId();
    const signer = await keys.make(id);
    await keys.check(id);
    await token.unplug();
    await rejects(keys.check(id), 'SIGNER_UNAVAILABLE');
    await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_UNAVAILABLE');
    await rejects(Promise.resolve(signer.sign(data)), 'SIGNER_UNAVAILABLE');
    await token.plugIn();
    await untilBack(() => keys.check(id));
    assert.ok(holds(signer, await signer.sign(data)));
  });

  it('a wrong PIN is tried only once, even by the next process', async () => {
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

  it('a PIN that becomes wrong while the daemon runs is tried only once', async (t) => {
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

  it('a token that hung during the login is tried again if it reports no wrong PIN', async () => {
    const token = await makeToken();
    module().be({ C_Login: 'hang' });
    const limits = { ...defaultLinkLimits, callTimeoutMs: 500 };
    await rejects(
      TokenKeys.open(options(token), limits),
      'SIGNER_UNAVAILABLE',
      /did not answer in 0\.5 seconds/,
    );
    await access(options(token).refusedMarker);
    module().be({});
    await (await TokenKeys.open(options(token))).close();
    await assert.rejects(access(options(token).refusedMarker));
  });

  it('a token that hung during the login is not tried again if it reports a wrong PIN', async () => {
    const token = await makeToken();
    module().be({ C_Login: 'hang' });
    const limits = { ...defaultLinkLimits, callTimeoutMs: 500 };
    await rejects(TokenKeys.open(options(token), limits), 'SIGNER_UNAVAILABLE');
    const CKF_USER_PIN_COUNT_LOW = 0x10000;
    module().be({ flags: CKF_USER_PIN_COUNT_LOW });
    const tries = await countLogins(() =>
      rejects(
        TokenKeys.open(options(token)),
        'SIGNER_PIN_WRONG',
        /it is unknown whether the PIN is right.* run: rm /,
      ),
    );
    assert.equal(tries, 0);
    module().be({});
    await rm(options(token).refusedMarker);
    await (await TokenKeys.open(options(token))).close();
  });

  it('a token with the same label and another serial number does not get the PIN', async (t) => {
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
        new RegExp(`serial number ${keys.place.serial}; .*did not get the PIN`),
      );
      await rejects(TokenKeys.open({ ...options(token), serial: keys.place.serial }), 'SIGNER_MISMATCH');
    });
    assert.equal(tries, 0);
    await rm(join(token.folder, 'tokens'), { recursive: true });
    await token.plugIn();
    assert.ok(holds(signer, await untilBack(() => signer.sign(data), 'SIGNER_MISMATCH')));
  });

  for (const [what, flags, message] of [
    ['that the next wrong PIN would lock is left to its owner', { flags: 0x20000 }, /Log in to it yourself/],
    [
      'that is locked causes an error that says how to unlock it',
      { flags: 0x40000 },
      /is locked: .*--init-pin/,
    ],
    [
      'without a user PIN causes an error that says how to set one',
      { 'no-flags': 0x8 },
      /no user PIN yet.*--init-pin/,
    ],
  ] as const) {
    it(`a token ${what}`, async () => {
      const token = await makeToken();
      module().be(flags);
      const tries = await countLogins(() =>
        rejects(TokenKeys.open(options(token)), 'SIGNER_PIN_WRONG', message),
      );
      module().be({});
      assert.equal(tries, 0);
    });
  }

  it('a private key without its public key is distinguished from a removed key', async (t) => {
    const token = await makeToken();
    const id = newId();
    await (await open(t, token)).make(id);
    await token.removeKey(id, ['public']);
    await rejects((await open(t, token)).load(id), 'SECRET_NOT_FOUND', /but not its public key/);
  });

  it('a key on another curve has its own error', async (t) => {
    const token = await makeToken();
    const id = newId();
    await token.putP384Key(id);
    await rejects((await open(t, token)).load(id), 'SIGNER_MISMATCH', /not on the curve P-256/);
  });

  it('a token is found by its label alone, and two tokens with one label are refused', async () => {
    const token = await makeToken();
    await rejects(
      TokenKeys.open({ ...options(token), label: 'another' }),
      'SIGNER_UNAVAILABLE',
      /"another" was not found/,
    );
    await SoftToken.make(kept, token.label, token);
    await rejects(TokenKeys.open(options(token)), 'SIGNER_UNAVAILABLE', /Two tokens/);
  });

  it('the error names a missing or invalid module', async () => {
    const token = await makeToken();
    const foreign = join(token.folder, 'foreign.so');
    // An ELF header of a 32-bit ARM library.
    const header = Buffer.alloc(64);
    header.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0]);
    header.writeUInt16LE(3, 16);
    header.writeUInt16LE(40, 18);
    header.writeUInt32LE(1, 20);
    await writeFile(foreign, header);
    for (const [module, message] of [
      [join(token.folder, 'none.so'), /does not exist\. Check caKey\.module/],
      [token.pinFile, /is not a PKCS #11 library\. Check caKey\.module/],
      [foreign, /not built for this processor architecture/],
    ] as const) {
      await rejects(TokenKeys.open({ ...options(token), module }), 'SIGNER_UNAVAILABLE', message);
    }
  });

  it('two daemons with separate homes share a token without conflict', async (t) => {
    const token = await makeToken();
    const [one, two] = [await identity(t, await open(t, token)), await identity(t, await open(t, token))];
    assert.notEqual(one.rootFingerprint, two.rootFingerprint);
    for (const each of [one, two]) await each.issueServerCredential({ dnsNames: [], ipAddresses: [] });
    const keys = await open(t, token);
    for (const each of [one, two]) {
      for (const { id } of await each.registry.authorities()) await keys.load(id);
    }
  });

  it('the keys of a CA do not move between the secret store and a token', async (t) => {
    const secrets = new MemorySecretStore();
    const registry = await openSqliteRegistry({ path: ':memory:' });
    t.after(() => registry.close());
    const [token, other] = [await makeToken(), await makeToken()];
    await IdentityManager.open({ secrets, registry, authorityKeys: await open(t, token) });
    await rejects(IdentityManager.open({ secrets, registry }), 'SIGNER_MISMATCH', /caKey/);
    await rejects(
      IdentityManager.open({ secrets, registry, authorityKeys: await open(t, other) }),
      'SIGNER_MISMATCH',
      /a different one/,
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

/** The token is searched for again only after a pause. */
async function untilBack<T>(
  attempt: () => T | Promise<T>,
  code: IdentityErrorCode = 'SIGNER_UNAVAILABLE',
): Promise<T> {
  const { answer } = await until(`an attempt without ${code}`, async () => {
    try {
      return { answer: await attempt() };
    } catch (error) {
      if (!hasCode(error, code)) throw error;
      return undefined;
    }
  });
  return answer;
}

/** The number of PINs sent to the token in the meantime. */
async function countLogins(during: () => Promise<void>): Promise<number> {
  module().calls('C_Login');
  await during();
  return module().calls('C_Login');
}
