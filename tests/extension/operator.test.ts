// A browser whose device is an operator: it is told of requests, and decides them with the words in view.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { PairingState } from '@palyra/rpc/admin';
import { ExtensionBrowser, extensionOrigin, pairIn, switchOn } from '../testing/extension-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice, request } from '../testing/sample-device.ts';
import { until } from '../testing/until.ts';

async function start(t: TestContext, { operator }: { readonly operator: boolean }) {
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [extensionOrigin] } });
  const browser = await ExtensionBrowser.start(t);
  const popup = await browser.open('popup');
  const { code, pairingId } = await daemon.admin.mintCode({});
  await pairIn(popup, daemon.webAddress, code);
  await popup.getByTestId('words').waitFor();
  await daemon.admin.approvePairing({ id: pairingId, operator });
  await popup.getByText('Connected', { exact: true }).waitFor();
  const options = await browser.open('options');
  await switchOn(options, 'Requests of other devices');
  await options.close();
  return { daemon, browser, popup };
}

test('an operator sees a request with its words, and approves or rejects it', async (t) => {
  const { daemon, browser, popup } = await start(t, { operator: true });
  const pending = await request(daemon, await makeDevice({ name: 'kitchen sensor' }));
  const card = popup.getByRole('region', { name: 'Request of kitchen sensor' });
  assert.equal(await card.getByTestId('words').innerText(), pending.words);
  const notices = await until('a notice', async () => {
    const shown = await browser.notices();
    return shown.length > 0 && shown;
  });
  assert.equal(notices.length, 1);
  await card.getByRole('button', { name: 'The words are the same: approve' }).click();
  await card.waitFor({ state: 'detached' });
  const stateOf = async (id: string) => (await daemon.admin.getPairing({ id })).state;
  assert.equal(await stateOf(pending.requestId), PairingState.APPROVED);
  await until('the notice goes', async () => (await browser.notices()).length === 0);

  const other = await request(daemon, await makeDevice({ name: 'unknown thing' }));
  const unknown = popup.getByRole('region', { name: 'Request of unknown thing' });
  await unknown.getByRole('button', { name: 'Reject' }).click();
  await unknown.waitFor({ state: 'detached' });
  assert.equal(await stateOf(other.requestId), PairingState.REJECTED);

  // Decided elsewhere: it goes here as well.
  const third = await request(daemon, await makeDevice({ name: 'lamp' }));
  const lamp = popup.getByRole('region', { name: 'Request of lamp' });
  await lamp.waitFor();
  await daemon.admin.rejectPairing({ id: third.requestId });
  await lamp.waitFor({ state: 'detached' });

  // After the worker was killed, the requests are there again.
  const fourth = await request(daemon, await makeDevice({ name: 'door camera' }));
  const camera = popup.getByRole('region', { name: 'Request of door camera' });
  await camera.waitFor();
  await browser.killWorker();
  await until('the next worker rejects it', async () => {
    // A press may still be lost with the killed worker.
    const reject = camera.getByRole('button', { name: 'Reject' });
    if (await reject.isVisible()) await reject.click({ timeout: 1000 }).catch(() => {});
    return (await stateOf(fourth.requestId)) === PairingState.REJECTED;
  });
  await browser.close();
});

test('a device that is no operator is told so, and sees no request', async (t) => {
  const { daemon, browser, popup } = await start(t, { operator: false });
  await popup.getByText('CALLER_NOT_ALLOWED').waitFor();
  await popup.getByText(/palyra devices set-role/).waitFor();
  await request(daemon, await makeDevice({ name: 'kitchen sensor' }));
  assert.equal(await popup.getByText('kitchen sensor').count(), 0);

  const [device] = (await daemon.admin.listDevices({})).devices;
  await daemon.admin.setDeviceRole({ id: device!.id, role: 2 });
  await popup.getByRole('button', { name: 'Try again' }).click();
  await popup.getByRole('region', { name: 'Request of kitchen sensor' }).waitFor();
  await browser.close();
});
