// The audit for operators: all rows of a device by its id, names beside ids, pages, and the outcomes of guesses.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from '@connectrpc/connect';
import { recoverCertificate, requestPairing } from '@palyra/identity/device';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, dialNode, dialPairing, recoveryPeer } from '@palyra/rpc';
import { AuditEntry_Guess, auditGuesses } from '@palyra/rpc/admin';
import { expectCode } from '../testing/expect-code.ts';
import { palyra } from '../testing/palyra-process.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { wrongPin } from '../testing/wrong-code.ts';

test('the id of a device finds its pairing, certificates and renewals, with names beside the ids', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice({ name: 'sensor' });
  const { id } = device.identity;
  const paired = await pair(daemon, device);
  await (await daemon.node(paired)).status({});
  const recovery = await dialPairing(paired.address, paired);
  daemon.closeAtEnd(recovery);
  await recoverCertificate(device, paired, recoveryPeer(recovery));
  const laptop = await makeDevice({ name: 'laptop' });
  const connection = await dialNode(daemon.nodeAddress, await pair(daemon, laptop, { operator: true }));
  daemon.closeAtEnd(connection);
  await createClient(AdminService, connection.transport).renameDevice({ id, name: 'cellar' });

  const { entries } = await daemon.admin.listAudit({ subject: id });
  assert.deepEqual(entries.map(({ action }) => action).reverse(), [
    'code.minted',
    'code.guessed',
    'request.received',
    'request.approved',
    'certificate.issued',
    'certificate.activated',
    'certificate.reused',
    'certificate.recovered',
    'device.renamed',
  ]);
  for (const entry of entries)
    assert.deepEqual([entry.deviceId, entry.deviceName], [id, 'cellar'], entry.action);
  assert.equal(entries[0]?.byName, 'laptop');
  const shown = (await daemon.admin.getDevice({ id })).device;
  assert.equal(shown?.cloneSource, '127.0.0.1');
  assert.equal((await daemon.admin.listAudit({ subject: id.toLowerCase() })).entries.length, entries.length);
  assert.equal((await daemon.admin.listAudit({ subject: id, family: 'certificate' })).entries.length, 4);
});

test('the audit has the outcome of a guess in every page, right, wrong or open', async (t) => {
  const daemon = await TestDaemon.start(t);
  const device = await makeDevice();
  const { code } = await daemon.admin.mintCode({});
  const guess = async (guessed: PairingCode) =>
    requestPairing(device, await daemon.peer(), guessed, daemon.pairingAddress);
  await expectCode(guess(wrongPin(code)), 'DAEMON_NOT_AUTHENTICATED');
  const outcomes = async () => {
    const found: string[] = [];
    for (let before = 0n; ; ) {
      const { entries } = await daemon.admin.listAudit({ limit: 1, before, family: 'code' });
      if (!entries[0]) return found;
      if (entries[0].guess !== AuditEntry_Guess.UNSPECIFIED) found.push(auditGuesses.show(entries[0].guess));
      before = entries[0].seq;
    }
  };
  assert.deepEqual(await outcomes(), ['open']);
  await guess(parsePairingCode(code));
  assert.deepEqual(await outcomes(), ['right', 'wrong']);
});

test('a row about a device that was never let in has the name that it gave', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { requestId } = await request(daemon, await makeDevice({ name: 'stranger' }));
  await daemon.admin.rejectPairing({ id: requestId, reason: '' });
  const { entries } = await daemon.admin.listAudit({ subject: requestId });
  for (const { deviceId, deviceName } of entries) assert.deepEqual([deviceId, deviceName], ['', 'stranger']);
});

test('the command shows one page, and the command for the next page', async (t) => {
  const daemon = await TestDaemon.start(t);
  await pair(daemon, await makeDevice());
  const { home } = daemon;
  const list = async (...args: string[]) =>
    (await palyra(['audit', 'list', ...args], { home })).lines[0]?.entries;
  const all = await list('--limit', '100000');
  const seqs: number[] = [];
  for (let before: string[] = []; ; ) {
    const page = await list('--limit', '2', ...before);
    seqs.push(...page.map(({ seq }: { seq: number }) => seq));
    if (page.length < 2) break;
    before = ['--before', String(page.at(-1).seq)];
  }
  assert.deepEqual(
    seqs,
    all.map(({ seq }: { seq: number }) => seq),
  );
  assert.equal((await palyra(['audit', 'list', '--before', '0'], { home })).exitCode, 2);
  assert.equal((await palyra(['audit', 'list', '--limit', '100001'], { home })).exitCode, 2);
});
