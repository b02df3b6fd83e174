// Attackers between a browser and its daemon: one terminates the channel, and a proxy changes, repeats, drops and swaps
// messages. A pairing fails, calls end, and the browser stores nothing from the attacker.

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { PairingState } from '@palyra/rpc/admin';
import { type Meddle, meddlingProxy } from '../../packages/transport-websocket/src/testing/meddling-proxy.ts';
import { servePage } from '../testing/browser-page.ts';
import { interceptChannels } from '../testing/channel-interceptor.ts';
import { openBrowser, shareBrowser } from '../testing/console-browser.ts';
import { TestDaemon } from '../testing/running-daemon.ts';

shareBrowser();

/** The names that the page has. The functions below run in the page. */
declare const palyra: typeof import('../../packages/browser/src/index.ts') & {
  createClient: typeof import('@connectrpc/connect').createClient;
};

async function start(t: TestContext) {
  const origin = `http://127.0.0.1:${await servePage(t)}`;
  const daemon = await TestDaemon.start(t, { web: { port: 0, origins: [origin] } });
  const browser = await openBrowser();
  t.after(() => browser.close());
  const { page } = browser;
  await page.goto(origin);
  await page.getByText('ready').waitFor();
  /** @returns the code of the failure, and the browser's records of daemons. */
  const pair = (address: string, code: string) =>
    page.evaluate(
      async (given) => {
        const device = await palyra.BrowserDevice.open();
        const outcome = await device.pair({ ...given, name: 'Chromium', onWords: () => {} }).then(
          () => 'paired',
          (error) => (error instanceof palyra.IdentityError ? error.code : String(error)),
        );
        const daemons = await device.daemons();
        device.close();
        return { outcome, daemons };
      },
      { address, code },
    );
  const call = () =>
    page.evaluate(async () => {
      const device = await palyra.BrowserDevice.open();
      const before = JSON.stringify(await device.daemons());
      const ends: (string | undefined)[] = [];
      const outcome = await device
        .connect(undefined, (it) => {
          if (it.state === 'disconnected') ends.push(it.error?.code);
        })
        .then(async (connection) => {
          const node = palyra.createClient(palyra.NodeService, connection.transport);
          const answers = await Promise.allSettled([node.status({}), node.status({}), node.status({})]);
          connection.close();
          const refused = answers.find((each) => each.status === 'rejected');
          return refused ? String(refused.reason) : 'answered';
        })
        .catch((error: { code: string }) => error.code);
      const isSame = before === JSON.stringify(await device.daemons());
      device.close();
      return { outcome, isSame, ends };
    });
  return { origin, daemon, pair, call };
}

for (const qr of [false, true]) {
  test(`with a ${qr ? 'QR' : 'typed'} code, an interceptor of the channel is detected at the confirmation`, async (t) => {
    const { origin, daemon, pair } = await start(t);
    const address = await interceptChannels(t, daemon, [origin]);
    const { code, pairingId } = await daemon.admin.mintCode({ qr });
    assert.deepEqual(await pair(address, code), { outcome: 'DAEMON_NOT_AUTHENTICATED', daemons: [] });
    const { state, guessesLeft, device } = await daemon.admin.getPairing({ id: pairingId });
    assert.deepEqual(
      { state, guessesLeft, device },
      { state: PairingState.WAITING, guessesLeft: 2, device: undefined },
    );
  });
}

/** Each attack changes one message. The device's first two messages and the daemon's first message are the handshake. */
const meddling: Record<string, (at: { from: 'device' | 'daemon'; index: number }) => Meddle> = {
  changes: (at) => (passing) => [is(passing, at) ? changed(passing.bytes) : passing.bytes],
  repeats: (at) => (passing) => (is(passing, at) ? [passing.bytes, passing.bytes] : [passing.bytes]),
  drops: (at) => (passing) => (is(passing, at) ? [] : [passing.bytes]),
  'sends back': (at) => (passing) => [is(passing, at) ? (passing.other ?? passing.bytes) : passing.bytes],
  swaps(at) {
    let held: Uint8Array | undefined;
    return (passing) => {
      if (is(passing, at)) {
        held = passing.bytes;
        return [];
      }
      const later = held && passing.from === at.from ? [passing.bytes, held] : [passing.bytes];
      if (later.length > 1) held = undefined;
      return later;
    };
  },
};

type Place = Parameters<(typeof meddling)[string]>[0];
const is = (passing: Place, at: Place) => passing.from === at.from && passing.index === at.index;
const changed = (bytes: Buffer) =>
  Buffer.from(bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte)));

const places: readonly Place[] = [
  { from: 'device', index: 0 },
  { from: 'daemon', index: 0 },
  { from: 'device', index: 1 },
  { from: 'device', index: 2 },
  { from: 'daemon', index: 1 },
];

function placesOf(name: string): readonly Place[] {
  // A device waits for a missing message, so this is tried at one place only.
  if (name === 'drops' || name === 'swaps') return places.slice(3, 4);
  // Before the first message, there is no message to send back.
  return name === 'sends back' ? places.slice(1) : places;
}

for (const [name, meddle] of Object.entries(meddling)) {
  test(`a proxy that ${name} a message ends the pairing and the calls, and changes nothing in the browser`, async (t) => {
    const { daemon, pair, call } = await start(t);
    let meddler: Meddle = ({ bytes }) => [bytes];
    const proxy = await meddlingProxy(daemon.webAddress, (passing) => meddler(passing));
    t.after(() => proxy.close());
    const address = `ws://127.0.0.1:${proxy.port}/channel`;
    for (const at of placesOf(name)) {
      const { code } = await daemon.admin.mintCode({ autoApprove: true });
      meddler = meddle(at);
      const { outcome, daemons } = await pair(address, code);
      assert.match(outcome, /^(?:UNREACHABLE|MESSAGE_INVALID|DAEMON_NOT_AUTHENTICATED)$/, JSON.stringify(at));
      assert.deepEqual(daemons, []);
    }
    meddler = ({ bytes }) => [bytes];
    const { code } = await daemon.admin.mintCode({ autoApprove: true });
    assert.equal((await pair(address, code)).outcome, 'paired');
    assert.equal((await call()).outcome, 'answered');
    for (const at of placesOf(name)) {
      meddler = meddle(at);
      const { outcome, isSame } = await call();
      assert.notEqual(outcome, 'answered', JSON.stringify(at));
      assert.ok(isSame);
    }
    meddler = ({ bytes }) => [bytes];
    assert.equal((await call()).outcome, 'answered');
  });
}
