// Revocation lists over time, next to each other, and in other programs.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import test, { type TestContext } from 'node:test';
import { IdentityError, type IdentityManager, MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { awaitPairing, requestPairing } from '@palyra/identity/device';
import { type AuthorityKeys, SecretStoreKeys } from '@palyra/identity/keys';
import { parsePairingCode } from '@palyra/identity/pairing';
import type { ListOfAuthority } from '@palyra/identity/registry';
import type { Ulid } from '@palyra/identity/values';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { seedRevocations } from '@palyra/registry-sql/suite';
import { collectRevocationLists } from '@palyra/rpc';
import { run, writeFiles } from '../../packages/identity/src/certificate/testing/command.ts';
import { day, HeldClock, hour, minute } from '../testing/held-clock.ts';
import { openIdentity, peerOf } from '../testing/in-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, type SampleDevice, sameIdOtherKey } from '../testing/sample-device.ts';
import { temporaryFolder } from '../testing/temporary-folder.ts';
import { longestWaitMs } from '../testing/until.ts';

/** The certificate and its device. */
async function pairHere(identity: IdentityManager, clock: HeldClock, known?: SampleDevice) {
  const device = known ?? (await makeDevice({ clock }));
  const { code } = await identity.desk.mint({ kind: 'typed', address: 'x:1' });
  const pending = await requestPairing(device, peerOf(identity), parsePairingCode(code), 'x:1');
  await identity.desk.approve(pending.requestId, { replaceIdentityKey: known !== undefined });
  const signal = AbortSignal.timeout(longestWaitMs);
  const { certificateChain } = await awaitPairing(device, peerOf(identity), pending, { signal });
  const der = certificateChain[0]!;
  return { device, der, chain: certificateChain, serial: readPeerCertificate(der).serial };
}

const derOf = ({ list }: ListOfAuthority): Buffer => Buffer.concat(list?.der ?? []);
const hexOf = (list: ListOfAuthority): string => derOf(list).toString('hex');

async function describe(t: TestContext, list: ListOfAuthority) {
  const files = writeFiles(t, { 'crl.der': '' });
  await writeFile(files['crl.der'], derOf(list));
  const { output } = await run('openssl', [
    'crl',
    '-inform',
    'DER',
    '-in',
    files['crl.der'],
    '-noout',
    '-text',
  ]);
  const dated = (label: string) =>
    [...output.matchAll(new RegExp(`${label}: (.*)`, 'g'))].map(([, at]) => new Date(at!));
  return {
    thisUpdate: dated('Last Update')[0]!,
    nextUpdate: dated('Next Update')[0]!,
    revocations: dated('Revocation Date'),
  };
}

test('a list made after a revoked certificate’s end still names it, so a server whose clock is behind refuses it', async (t) => {
  const clock = new HeldClock();
  const identity = await openIdentity(t, { clock });
  const { der, chain, serial } = await pairHere(identity, clock);
  await identity.revokeCertificate(serial, 'leaked');
  const { notAfter } = readPeerCertificate(der);
  const bearer = new X509Certificate(der);
  const refusedAt = async (at: Date, list: ListOfAuthority) => {
    const pem = (label: string, bytes: Uint8Array) =>
      `-----BEGIN ${label}-----\n${Buffer.from(bytes)
        .toString('base64')
        .replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;
    const files = writeFiles(t, {
      'leaf.pem': bearer.toString(),
      'issuing.pem': pem('CERTIFICATE', chain[1]!),
      'root.pem': pem('CERTIFICATE', identity.trustBundle[0]!),
      'crl.pem': pem('X509 CRL', derOf(list)),
    });
    const { output } = await run('openssl', [
      ...['verify', '-crl_check', '-attime', String(Math.floor(at.getTime() / 1000))],
      ...['-CAfile', files['root.pem'], '-untrusted', files['issuing.pem'], '-CRLfile', files['crl.pem']],
      files['leaf.pem'],
    ]);
    return output;
  };

  for (const agoMs of [-minute, 0, minute, 9 * minute, 11 * minute, 12 * hour, 24 * hour]) {
    clock.advance(notAfter.getTime() + agoMs - clock.now().getTime());
    const [list] = await identity.revocationLists.current();
    assert.ok(hexOf(list!).includes(serial), `${agoMs} ms after its end`);
    // The clock is behind by the whole tolerance, at the last second of the certificate.
    const behind = new Date(Math.min(clock.now().getTime() - 10 * minute, notAfter.getTime() - 1000));
    if (clock.now().getTime() - behind.getTime() > 10 * minute) continue;
    assert.match(await refusedAt(behind, list!), /certificate revoked/, `${agoMs} ms after its end`);
  }
  const [beyond] = await identity.revocationLists.current();
  assert.ok((await describe(t, beyond!)).thisUpdate > notAfter, 'on a list made after its end');
  clock.advance(13 * hour);
  const [later] = await identity.revocationLists.current();
  assert.ok(!hexOf(later!).includes(serial), 'and finally removed');
});

test('a certificate that expired just before its device was revoked is listed, for servers whose clocks are behind', async (t) => {
  const clock = new HeldClock();
  const identity = await openIdentity(t, { clock });
  const [revoked, replaced] = [await pairHere(identity, clock), await pairHere(identity, clock)];
  const { notAfter } = readPeerCertificate(revoked.der);
  clock.advance(notAfter.getTime() + 5 * minute - clock.now().getTime());
  await identity.revokeDevice(revoked.device.identity.id, 'lost');
  const other = await sameIdOtherKey(replaced.device.identity);
  await pairHere(identity, clock, { ...replaced.device, identity: other });
  const [list] = await identity.revocationLists.current();
  for (const { serial } of [revoked, replaced]) assert.ok(hexOf(list!).includes(serial));
});

test('no entry is dated after its list, and numbers grow, through clock changes and restarts', async (t) => {
  const clock = new HeldClock();
  const registry = await openSqliteRegistry({ path: ':memory:' });
  t.after(() => registry.close());
  const secrets = new MemorySecretStore();
  const open = () => openIdentity(t, { clock, registry, secrets });
  let identity = await open();
  let last = 0;
  for (const stepMs of [2 * hour, 30 * minute, -2 * hour, 40 * day, -40 * day, -minute, 0]) {
    clock.advance(stepMs);
    if (stepMs < 0) identity = await open();
    const { serial } = await pairHere(identity, clock);
    await identity.revokeCertificate(serial, 'test');
    const [current] = await identity.revocationLists.current();
    assert.ok(current!.list!.number > last, `after a step of ${stepMs} ms`);
    last = current!.list!.number;
    const { thisUpdate, nextUpdate, revocations } = await describe(t, current!);
    assert.ok(revocations.length > 0 && revocations.every((at) => at <= thisUpdate));
    assert.ok(thisUpdate <= clock.now() && nextUpdate > clock.now());
  }
});

test('a restored registry continues the list numbers of the replaced one', async (t) => {
  const clock = new HeldClock();
  const secrets = new MemorySecretStore();
  const path = join(temporaryFolder(), 'registry.sqlite');
  const copyPath = `${path}.copy`;
  const registry = await openSqliteRegistry({ path });
  t.after(() => registry.close());
  const identity = await openIdentity(t, { clock, registry, secrets });
  await backUp(path, copyPath);
  // Lists were served while the clock was wrong.
  clock.advance(300 * day);
  await identity.reloadAuthority();
  clock.advance(-300 * day);
  await identity.reloadAuthority();
  clock.advance(20 * day);
  const numberOf = async (of: IdentityManager, id?: Ulid) =>
    (await of.revocationLists.current()).find(({ issuerId }) => issuerId === id)?.list?.number;
  const active = (await identity.registry.authorities()).find(({ tier }) => tier === 'issuing')!;
  const before = (await numberOf(identity, active.id))!;
  clock.advance(-20 * day);

  const restored = await openSqliteRegistry({ path: copyPath });
  t.after(() => restored.close());
  const again = await openIdentity(t, { clock, registry: restored, secrets });
  await again.revocationLists.continueFrom(registry);
  assert.ok((await numberOf(again, active.id))! > before);
});

/** A key store in which some keys are missing. */
class Lacking extends SecretStoreKeys {
  readonly lost = new Set<Ulid>();
  loads = 0;

  override async load(authority: Ulid): ReturnType<AuthorityKeys['load']> {
    this.loads += 1;
    if (this.lost.has(authority)) throw new IdentityError('SIGNER_UNAVAILABLE', 'The token is away.');
    return super.load(authority);
  }
}

test('a list that cannot be made does not affect the others, and its last version is served while it is valid', async (t) => {
  const clock = new HeldClock();
  const secrets = new MemorySecretStore();
  const keys = new Lacking(secrets);
  const identity = await openIdentity(t, { clock, secrets, authorityKeys: keys });
  const old = await pairHere(identity, clock);
  clock.advance(61 * day);
  await identity.reloadAuthority();
  const fresh = await pairHere(identity, clock);
  const lists = () => identity.revocationLists.current();
  const [active, retired, root] = await lists();
  assert.ok(active?.list && retired?.list && root?.list);

  keys.lost.add(active.issuerId);
  await identity.revokeCertificate(fresh.serial, 'test');
  await identity.revokeCertificate(old.serial, 'test');
  const [failed, made, same] = await lists();
  assert.equal(failed!.list, active.list, 'the last version');
  assert.equal((failed!.error as IdentityError).code, 'SIGNER_UNAVAILABLE');
  assert.ok(made!.list!.number > retired.list.number);
  assert.equal(made!.error, undefined);
  assert.equal(same!.list, root.list, 'a root revokes nothing');

  const { loads } = keys;
  assert.equal((await lists())[0]!.error, failed!.error);
  assert.equal(keys.loads, loads, 'it is not retried with every request');
  clock.advance(25 * hour);
  const [over, ...others] = await lists();
  assert.equal(over!.list, undefined, 'it has expired');
  assert.ok(others.every(({ list }) => list && list.nextUpdate > clock.now()));
  keys.lost.clear();
  clock.advance(minute);
  const [back] = await lists();
  assert.equal(back!.error, undefined);
  assert.ok(hexOf(back!).includes(fresh.serial));
});

test('concurrent readers share one list, and a reader after a revocation gets the new one', async (t) => {
  const clock = new HeldClock();
  const path = join(temporaryFolder(), 'registry.sqlite');
  const registry = await openSqliteRegistry({ path });
  t.after(() => registry.close());
  const identity = await openIdentity(t, { clock, registry });
  const paired = [];
  for (let count = 0; count < 5; count += 1) paired.push(await pairHere(identity, clock));
  const issuing = (await registry.authorities()).find(({ tier }) => tier === 'issuing')!;
  const notAfter = new Date(clock.now().getTime() + day);
  seedRevocations(path, { issuerId: issuing.id, count: 5_000, at: clock.now(), notAfter });
  const asked = [identity.revocationLists.current()];
  for (const { serial } of paired) {
    await identity.revokeCertificate(serial, 'test');
    for (let count = 0; count < 10; count += 1)
      asked.push(
        identity.revocationLists.current().then((lists) => {
          assert.ok(hexOf(lists[0]!).includes(serial));
          return lists;
        }),
      );
  }
  const numbers = (await Promise.all(asked)).map(([first]) => first!.list!.number);
  const distinct = new Set(numbers);
  assert.ok(distinct.size <= 1 + paired.length, `${distinct.size} lists for ${numbers.length} requests`);
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
  const [now] = await identity.revocationLists.current();
  assert.equal(now!.list!.number, numbers.at(-1), 'the list has not changed');
});

test('calls continue while a list of 100,000 entries is made and read', { timeout: 120_000 }, async (t) => {
  const daemon = await TestDaemon.start(t, { publish: { port: 0 } });
  const enrollment = await pair(daemon, await makeDevice());
  const { registry } = daemon.running.identity;
  const issuing = (await registry.authorities()).find(({ tier }) => tier === 'issuing')!;
  const now = new Date();
  const count = 100_000;
  seedRevocations(join(daemon.home, 'daemon', 'registry.sqlite'), {
    issuerId: issuing.id,
    count,
    at: now,
    notAfter: new Date(now.getTime() + day),
  });
  const node = await daemon.node(enrollment);
  const { address } = daemon.running.listeners.find(({ name }) => name === 'publish')!;
  let answered = 0;
  let isOver = false;
  const caller = (async () => {
    while (!isOver) {
      await node.status({});
      answered += 1;
    }
  })();
  const whole = async (page: string) => {
    const response = await fetch(`${address}${page}`);
    assert.equal(response.status, 200);
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(body.length, Number(response.headers.get('content-length')));
    return body;
  };
  const [der, ...pems] = await Promise.all([
    whole('/crl.der'),
    ...Array.from({ length: 4 }, () => whole('/crl.pem')),
  ]);
  isOver = true;
  await caller;
  assert.ok(answered >= 10, `${answered} calls were answered meanwhile`);

  const folder = temporaryFolder();
  await writeFile(join(folder, 'crl.der'), der!);
  const read = await run('openssl', [
    'crl',
    '-inform',
    'DER',
    '-in',
    join(folder, 'crl.der'),
    '-noout',
    '-text',
  ]);
  assert.equal(read.output.match(/Serial Number/g)?.length, count);
  const [first] = await collectRevocationLists(daemon.admin.getRevocationLists({}));
  assert.ok(Buffer.concat(first!.der).equals(der!), 'the admin service streams the same');
  const [one] = String(pems[0]).split(/(?<=-----END X509 CRL-----\n)/);
  assert.equal(Buffer.from(one!.replace(/-----.*-----/g, ''), 'base64').compare(der!), 0);
  for (const pem of pems) assert.ok(pem.equals(pems[0]!));
});

async function backUp(from: string, to: string): Promise<void> {
  const database = new DatabaseSync(from);
  try {
    await backup(database, to);
    await chmod(to, 0o600);
  } finally {
    database.close();
  }
}
