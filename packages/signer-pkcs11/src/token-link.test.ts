// While a token is slow, hangs or crashes, the daemon's process and its callers continue.

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { hasCode } from '@palyra/identity';
import type { Signer } from '@palyra/identity/certificate';
import { makeUlid, type Ulid } from '@palyra/identity/values';
import { gone } from '../../../tests/testing/gone.ts';
import { until } from '../../../tests/testing/until.ts';
import { missingForTokens, SoftToken } from './testing/soft-token.ts';
import { missingCompiler, TroubledModule } from './testing/troubled-module.ts';
import { TokenKeys } from './token-keys.ts';
import { defaultLinkLimits, type LinkLimits, TokenLink } from './token-link.ts';

const skip = missingForTokens() || missingCompiler;
const data = new TextEncoder().encode('what is signed');
const newId = (): Ulid => makeUlid(new Date(), crypto.getRandomValues(new Uint8Array(10)));

let token: SoftToken | undefined;
let module: TroubledModule | undefined;
after(async () => {
  if (token) await rm(token.folder, { recursive: true });
});

async function openKeys(t: TestContext, limits: Partial<LinkLimits> = {}): Promise<TokenKeys> {
  token ??= await SoftToken.make({ after() {} }, 'palyra troubled');
  module ??= new TroubledModule(token.folder);
  Object.assign(process.env, token.env, module.env);
  module.be({});
  t.after(() => module!.be({}));
  const { label, pinFile, folder } = token;
  const keys = await TokenKeys.open(
    { module: module.path, label, pinFile, refusedMarker: join(folder, 'refused') },
    { ...defaultLinkLimits, restMs: 1, ...limits },
  );
  t.after(() => keys.close());
  return keys;
}

const makeSigner = async (t: TestContext, limits?: Partial<LinkLimits>): Promise<Signer> =>
  (await openKeys(t, limits)).make(newId());

/** Turns of this process's event loop in the meantime. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  void work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    turns += 1;
  }
  await work;
  return turns;
}

const unavailable = (message: RegExp) => (error: unknown) =>
  hasCode(error, 'SIGNER_UNAVAILABLE') && message.test(error.message);

describe('the token’s process', { skip }, () => {
  for (const call of ['C_SignInit', 'C_Sign', 'C_FindObjectsInit', 'C_GetAttributeValue']) {
    it(`while ${call} is slow, everything else continues`, async (t) => {
      const keys = await openKeys(t);
      module!.be({ [call]: 300 });
      const turns = await turnsDuring(keys.make(newId()).then((signer) => signer.sign(data)));
      assert.ok(turns >= 5, `${turns} turns`);
    });
  }

  for (const call of ['C_Initialize', 'C_GetSlotList', 'C_GetTokenInfo', 'C_OpenSession', 'C_Login']) {
    it(`while ${call} is slow at the start, everything else continues`, async (t) => {
      await (await openKeys(t)).close();
      module!.be({ [call]: 300 });
      const turns = await turnsDuring(
        TokenKeys.open({
          module: module!.path,
          label: token!.label,
          pinFile: token!.pinFile,
          refusedMarker: join(token!.folder, 'refused'),
        }).then((keys) => keys.close()),
      );
      assert.ok(turns >= 5, `${turns} turns`);
    });
  }

  it('the time limit starts when the token gets the call, so many slow signatures in a row all succeed', async (t) => {
    const signer = await makeSigner(t, { callTimeoutMs: 1_000 });
    module!.be({ C_Sign: 100 });
    const all = await Promise.all(Array.from({ length: 30 }, () => signer.sign(data)));
    assert.equal(all.length, 30);
  });

  it('a hanging call fails together with all calls queued behind it, and the next call is served', async (t) => {
    const signer = await makeSigner(t, { callTimeoutMs: 1_000 });
    module!.be({ C_Sign: 'hang' });
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => signer.sign(data)));
    for (const each of results) {
      assert.ok(each.status === 'rejected' && unavailable(/did not answer in 1 seconds/)(each.reason));
    }
    module!.be({});
    assert.ok(await afterRest(() => signer.sign(data)));
  });

  it('a crashing module ends only its own process, and the next call gets a new process', async (t) => {
    const signer = await makeSigner(t);
    module!.be({ C_SignInit: 'crash' });
    await assert.rejects(Promise.resolve(signer.sign(data)), unavailable(/ended its process \(SIGABRT\)/));
    module!.be({});
    assert.ok(await afterRest(() => signer.sign(data)));
  });

  it('closing does not wait for a hanging call, and leaves no process', async (t) => {
    const keys = await openKeys(t, { closeTimeoutMs: 100 });
    const signer = await keys.make(newId());
    const link = TokenLink.to(module!.path);
    const pid = link.pid!;
    module!.be({ C_Sign: 'hang' });
    const hanging = assert.rejects(Promise.resolve(signer.sign(data)), unavailable(/./));
    await keys.close();
    await link.release({} as never);
    await hanging;
    await gone(pid);
  });

  it('SIGUSR1, often sent to rotate logs, opens no debugger in the process that knows the PIN', {
    skip: process.platform !== 'linux' && 'NOT TESTED: the listeners of a process are read from /proc',
  }, async (t) => {
    const signer = await makeSigner(t);
    const link = TokenLink.to(module!.path);
    const pid = link.pid!;
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGUSR1'] as const) {
      process.kill(pid, signal);
      await signer.sign(data);
    }
    assert.equal(link.pid, pid);
    assert.deepEqual(listening(pid), []);
    await link.release({} as never);
  });

  it('a process that hangs in the module ends when its parent is killed', async (t) => {
    await (await openKeys(t)).close();
    const asking = fork(join(import.meta.dirname, 'testing/hanging-program.ts'), [
      module!.path,
      token!.label,
      token!.pinFile,
      join(token!.folder, 'refused'),
    ]);
    t.after(() => asking.kill('SIGKILL'));
    const [pid] = await once(asking, 'message');
    module!.be({ C_GetTokenInfo: 'hang' });
    module!.calls('');
    asking.send('open another');
    await until('the hanging call', () => module!.calls('C_GetTokenInfo') > 0);
    asking.kill('SIGKILL');
    await gone(pid as number);
  });

  it('callers over the limit are refused', async (t) => {
    const signer = await makeSigner(t, { maxWaiting: 3 });
    module!.be({ C_Sign: 50 });
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => signer.sign(data)));
    const refused = results.filter((each) => each.status === 'rejected').map(({ reason }) => reason);
    assert.ok(refused.every((error) => hasCode(error, 'TOO_MANY_REQUESTS') && error.retryAfterMs === 1_000));
    assert.equal(refused.length, 6);
  });

  it('a failed call affects no other call', async (t) => {
    const keys = await openKeys(t);
    const signer = await keys.make(newId());
    const [missing, made] = await Promise.allSettled([keys.load(newId()), signer.sign(data)]);
    assert.ok(missing.status === 'rejected' && hasCode(missing.reason, 'SECRET_NOT_FOUND'));
    assert.equal(made.status, 'fulfilled');
  });
});

/** A new process replaces an abandoned one after a pause. */
async function afterRest<T>(work: () => T | Promise<T>): Promise<T> {
  const { answer } = await until('the next process', async () => {
    try {
      return { answer: await work() };
    } catch (error) {
      if (!hasCode(error, 'SIGNER_UNAVAILABLE')) throw error;
      return undefined;
    }
  });
  return answer;
}

/** The TCP addresses on which a process listens, in the notation of /proc. */
function listening(pid: number): string[] {
  const sockets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return ['tcp', 'tcp6']
    .flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, 'utf8').trim().split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.includes(`socket:[${inode}]`))
    .map(([, address]) => address!);
}
