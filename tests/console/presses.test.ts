// In the console a decision needs an action on one named request. A second press at the same place decides nothing, whatever
// is now under the pointer.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DeviceIdentity } from '@palyra/identity/device';
import { nodeCrypto } from '@palyra/identity/values';
import { DeviceRole, DeviceState, PairingState } from '@palyra/rpc/admin';
import type { Locator, Page } from 'playwright-core';
import { go, shareBrowser, startConsole } from '../testing/console-browser.ts';
import { aim, approve, clickTwice } from '../testing/console-presses.ts';
import { HeldClock, minute } from '../testing/held-clock.ts';
import type { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, pair, request } from '../testing/sample-device.ts';
import { variants } from '../testing/soak.ts';

shareBrowser();

/** A double click, two clicks, and a second click by an impatient person. */
const gapsMs = variants([60, 200, 600], (gapMs) => gapMs !== 200);

/** Ends before a session that is left alone. */
const requestLifeMs = 10 * minute;

async function waiting(t: TestContext, count: number, clock?: HeldClock) {
  const started = await startConsole(t, clock ? { clock, limits: { requestLifeMs } } : {});
  const ids: string[] = [];
  for (let number = 1; number <= count; number += 1) {
    const device = await makeDevice({ name: `device ${number}`, ...(clock && { clock }) });
    ids.push((await request(started.daemon, device)).requestId);
  }
  await started.enter();
  await cardOf(started.page, count).waitFor();
  return { ...started, ids };
}

const cardOf = (page: Page, number: number): Locator =>
  page.getByRole('article', { name: `Request of device ${number}`, exact: true });
const button = (within: Page | Locator, name: string): Locator =>
  within.getByRole('button', { name, exact: true });
const stateOf = async (daemon: TestDaemon, id: string) => (await daemon.admin.getPairing({ id })).state;
const wordsOf = async (daemon: TestDaemon, id: string) =>
  (await daemon.admin.getPairing({ id })).device!.words;

for (const gapMs of gapsMs) {
  test(`two clicks on Approve, ${gapMs} ms apart, ask about one request and approve none`, async (t) => {
    const { daemon, page, ids } = await waiting(t, 3);
    await aim(page, button(cardOf(page, 1), 'Approve…'));
    await clickTwice(page, gapMs);
    await page.getByRole('heading', { name: 'Approve device 1?' }).waitFor();
    // Anything that a click had sent would have arrived before this.
    await approve(page, await wordsOf(daemon, ids[0]!));
    await cardOf(page, 1).getByText('Approved;').waitFor();
    assert.equal(await stateOf(daemon, ids[1]!), PairingState.PENDING_APPROVAL);
    assert.equal(await stateOf(daemon, ids[2]!), PairingState.PENDING_APPROVAL);
  });

  test(`two clicks on the yes, ${gapMs} ms apart, approve the one request and ask about no other`, async (t) => {
    const { daemon, page, ids } = await waiting(t, 3);
    await button(cardOf(page, 2), 'Approve…').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('The three words').fill(await wordsOf(daemon, ids[1]!));
    const yes = button(dialog, 'Approve');
    await dialog.locator('button[type=submit]:not([disabled])').waitFor();
    await aim(page, yes);
    await clickTwice(page, gapMs);
    await cardOf(page, 2).getByText('Approved;').waitFor();
    assert.equal(await page.getByRole('dialog').count(), 0);
    assert.equal(await stateOf(daemon, ids[0]!), PairingState.PENDING_APPROVAL);
    assert.equal(await stateOf(daemon, ids[2]!), PairingState.PENDING_APPROVAL);
  });

  test(`when requests come and go between two clicks, ${gapMs} ms apart, the cards stay where they are`, async (t) => {
    const { daemon, page, ids } = await waiting(t, 3);
    const places = () =>
      Promise.all([1, 2, 3].map((number) => button(cardOf(page, number), 'Approve…').boundingBox()));
    const target = button(cardOf(page, 3), 'Approve…');
    await aim(page, target);
    const before = await places();
    await clickTwice(page, gapMs, () => request(daemon, { ...device4 }));
    await page.getByRole('heading', { name: 'Approve device 3?' }).waitFor();
    await page.keyboard.press('Escape');
    await cardOf(page, 4).waitFor();
    assert.deepEqual(await places(), before);
    // Decided elsewhere: the card says so in place.
    await daemon.admin.approvePairing({ id: ids[0]! });
    await cardOf(page, 1).getByText('Approved;').waitFor();
    assert.deepEqual((await target.boundingBox())!, before[2]);
    assert.deepEqual(await button(cardOf(page, 2), 'Approve…').boundingBox(), before[1]);
    await page.mouse.move(0, 0);
    await aim(page, target);
    await clickTwice(page, gapMs, () => daemon.admin.rejectPairing({ id: ids[1]!, reason: '' }));
    await page.getByRole('heading', { name: 'Approve device 3?' }).waitFor();
    await cardOf(page, 2).getByText('Rejected').waitFor();
    assert.deepEqual(await target.boundingBox(), before[2]);
    for (const id of ids.slice(2)) assert.equal(await stateOf(daemon, id), PairingState.PENDING_APPROVAL);
  });

  test(`two clicks on Make a code, ${gapMs} ms apart, leave the code where it can be read`, async (t) => {
    const { daemon, page, enter } = await startConsole(t);
    await enter();
    await go(page, 'Pair');
    await aim(page, button(page, 'Make a code'));
    await clickTwice(page, gapMs);
    await page.getByLabel('Pairing code').waitFor();
    assert.equal(await page.getByRole('dialog').count(), 0);
    const { pairings } = await daemon.admin.listPairings({ openOnly: true });
    assert.deepEqual(
      pairings.map(({ state }) => state),
      [PairingState.WAITING],
    );
  });
}

const device4 = await makeDevice({ name: 'device 4' });

test('the words of another request approve nothing, and the button says when it would', async (t) => {
  const { daemon, page, ids } = await waiting(t, 2);
  await button(cardOf(page, 1), 'Approve…').click();
  const dialog = page.getByRole('dialog');
  const words = dialog.getByLabel('The three words');
  const yes = button(dialog, 'Approve');
  await words.fill(await wordsOf(daemon, ids[1]!));
  await dialog.getByText('These are not the words of this request').waitFor();
  assert.equal(await yes.isDisabled(), true);
  await words.press('Enter');
  await words.fill((await wordsOf(daemon, ids[0]!)).toUpperCase().replaceAll(' ', '  '));
  await yes.click();
  await cardOf(page, 1).getByText('Approved;').waitFor();
  assert.equal(await stateOf(daemon, ids[1]!), PairingState.PENDING_APPROVAL);
});

test('a question about a request that expires or is decided elsewhere closes with a message', async (t) => {
  const clock = new HeldClock();
  const { daemon, page, ids } = await waiting(t, 2, clock);
  await button(cardOf(page, 1), 'Approve…').click();
  await page.getByRole('dialog').getByLabel('The three words').waitFor();
  await daemon.admin.rejectPairing({ id: ids[0]!, reason: 'seen to from elsewhere' });
  const dialog = page.getByRole('dialog', { name: 'This request has changed' });
  await dialog.getByText('seen to from elsewhere').waitFor();
  assert.equal(await page.getByLabel('The three words').count(), 0);
  await button(dialog, 'Close').click();

  await button(cardOf(page, 2), 'Reject…').click();
  await page.getByLabel('Reason').fill('not mine');
  clock.advance(requestLifeMs);
  await daemon.running.tick();
  await dialog.getByText('Expired without a decision').waitFor();
  assert.equal(await page.getByLabel('Reason').count(), 0);
  assert.equal(await stateOf(daemon, ids[1]!), PairingState.EXPIRED);
});

test('a decided card stays until it is put away, and then is listed below', async (t) => {
  const { daemon, page, ids } = await waiting(t, 2);
  await daemon.admin.rejectPairing({ id: ids[0]!, reason: '' });
  await button(cardOf(page, 1), 'Put away').click();
  await cardOf(page, 1).waitFor({ state: 'detached' });
  await page.getByLabel('Recently decided').getByText('device 1').waitFor();
  await cardOf(page, 2).waitFor();
});

test('Enter that is held down or pressed twice opens a question and answers none', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'laptop' });
  await pair(daemon, device);
  const { requestId } = await request(daemon, await makeDevice({ name: 'device 1' }));
  await enter();
  for (const [hash, name] of [
    ['/requests', 'Approve…'],
    ['/requests', 'Reject…'],
    [`/devices/${device.identity.id}`, 'Revoke…'],
    [`/devices/${device.identity.id}`, 'Make operator…'],
  ] as const) {
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await button(page, name).focus();
    for (let repeat = 0; repeat < 30; repeat += 1) await page.keyboard.down('Enter');
    await page.keyboard.up('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    // A press after the question appears has no more effect than an earlier one.
    await page.keyboard.press('Enter');
    assert.equal(await page.getByRole('dialog').count(), 1);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  assert.equal(await stateOf(daemon, requestId), PairingState.PENDING_APPROVAL);
  const { device: after } = await daemon.admin.getDevice({ id: device.identity.id });
  assert.deepEqual([after?.state, after?.role], [DeviceState.APPROVED, DeviceRole.DEVICE]);
});

test('rows of the devices stay under the pointer when a device comes that belongs before them', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  // Devices are listed by id, and ids begin with their time of creation.
  const minuteAgo = { now: () => new Date(Date.now() - minute) };
  const identity = await DeviceIdentity.create(nodeCrypto, minuteAgo);
  const early = await makeDevice({ name: 'early', identity });
  await pair(daemon, await makeDevice({ name: 'late' }));
  await enter();
  await go(page, 'Devices');
  const row = page.getByRole('link', { name: 'late' });
  await aim(page, row);
  const before = await row.boundingBox();
  await pair(daemon, early);
  await page.getByRole('link', { name: 'early' }).waitFor();
  assert.deepEqual(await row.boundingBox(), before);
  await page.mouse.move(0, 0);
  await page.locator('.rows li:first-child').getByText('early').waitFor();
});

test('a new certificate does not move the one under the pointer', async (t) => {
  const { daemon, page, enter } = await startConsole(t);
  const device = await makeDevice({ name: 'laptop' });
  await pair(daemon, device);
  const { certificates } = await daemon.admin.getDevice({ id: device.identity.id });
  await enter();
  await page.evaluate(`location.hash = '/devices/${device.identity.id}'`);
  const revoke = button(page, `Revoke certificate ${certificates[0]!.serial}`);
  await aim(page, revoke);
  const before = await revoke.boundingBox();
  // After pairing again, it gets another certificate.
  await pair(daemon, device);
  await page.locator('.certificates li').nth(1).waitFor();
  assert.deepEqual(await revoke.boundingBox(), before);
});
