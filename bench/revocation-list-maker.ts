// A process for revocation-list.ts: fills the registry of a home with revoked certificates, or makes and serves their
// list while it checks calls.

import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FilesystemSecretStore, IdentityManager, masterKeyFromFile } from '@palyra/identity';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { seedRevocations } from '@palyra/registry-sql/suite';
import { listenPublish } from '../packages/daemon/src/listeners/publish-listener.ts';

export interface ListMade {
  readonly makeMs: number;
  readonly handOutMs: number;
  /** The longest turn of the event loop in processor time, ms, which does not include other programs. */
  readonly makeTurnMs: number;
  readonly handOutTurnMs: number;
  /** The longest wait for a turn, ms, which includes other programs. */
  readonly makeStallMs: number;
  readonly handOutStallMs: number;
  readonly makeCpuMs: number;
  readonly checks: number;
  readonly listMib: number;
  /** The largest increase of resident memory. */
  readonly makeMib: number;
  readonly handOutMib: number;
}

const [what, home = '', count] = process.argv.slice(2);
const path = join(home, 'registry.sqlite');
await mkdir(home, { recursive: true, mode: 0o700 });
const masterKey = await masterKeyFromFile({ path: join(home, 'master.key') });
const secrets = await FilesystemSecretStore.open({ path: join(home, 'secrets'), masterKey });
const registry = await openSqliteRegistry({ path });
const identity = await IdentityManager.open({ secrets, registry });
if (what === 'seed') {
  const { id: issuerId } = (await registry.authorities()).find(({ tier }) => tier === 'issuing')!;
  const at = new Date();
  seedRevocations(path, {
    issuerId,
    count: Number(count),
    at,
    notAfter: new Date(at.getTime() + 30 * 86_400_000),
  });
} else process.send?.(await measure());
await registry.close();
await secrets.close();
if (process.connected) process.disconnect?.();

async function measure(): Promise<ListMade> {
  const make = await watched(() => identity.revocationLists.current());
  const [first] = make.result;
  const listBytes = first!.list!.der.reduce((sum, part) => sum + part.length, 0);
  const listener = await listenPublish({ host: '127.0.0.1', port: 0 }, identity, (error) => {
    throw error;
  });
  const handOut = await watched(async () => {
    process.send?.({ port: listener.port });
    await once(process, 'message');
  });
  await listener.close();
  return {
    makeMs: make.ms,
    handOutMs: handOut.ms,
    makeTurnMs: make.turnMs,
    handOutTurnMs: handOut.turnMs,
    makeCpuMs: make.cpuMs,
    makeStallMs: make.stallMs,
    handOutStallMs: handOut.stallMs,
    checks: make.checks,
    listMib: listBytes / 2 ** 20,
    makeMib: make.mib,
    handOutMib: handOut.mib,
  };
}

/** Meanwhile, each turn of the event loop checks a call with a read of the registry. */
async function watched<T>(work: () => Promise<T>) {
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const cpu = process.threadCpuUsage();
  const ms = ({ user, system }: NodeJS.CpuUsage) => (user + system) / 1000;
  let [turnMs, stallMs, checks, rss, isOver] = [0, 0, 0, before, false];
  const rounds = (async () => {
    while (!isOver) {
      const [last, used] = [performance.now(), process.threadCpuUsage()];
      await nextTurn();
      stallMs = Math.max(stallMs, performance.now() - last);
      turnMs = Math.max(turnMs, ms(process.threadCpuUsage(used)));
      await registry.standing('f'.repeat(64));
      checks += 1;
      if (checks % 20 === 0) rss = Math.max(rss, process.memoryUsage.rss());
    }
  })();
  const result = await work();
  const tookMs = performance.now() - started;
  const cpuMs = ms(process.threadCpuUsage(cpu));
  isOver = true;
  await rounds;
  return { result, ms: tookMs, cpuMs, turnMs, stallMs, checks, mib: (rss - before) / 2 ** 20 };
}
