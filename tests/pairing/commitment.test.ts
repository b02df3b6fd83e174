// An interceptor who knows the code: the daemon's side of the exchange is fixed before the device's side is known, so the words
// cannot be chosen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TlsKey } from '@palyra/identity/certificate';
import { requestPairing } from '@palyra/identity/device';
import { type PairingCode, parsePairingCode } from '@palyra/identity/pairing';
import { nodeCrypto, type Ulid } from '@palyra/identity/values';
import { makeShare, scalarMultVfy } from '../../packages/identity/src/pairing/cpace.ts';
import type { ExchangeReply, OpenReply } from '../../packages/identity/src/pairing/daemon.ts';
import { encodeDaemonHello, encodeDeviceHello } from '../../packages/identity/src/pairing/hello.ts';
import {
  channelIdentifier,
  commitmentTo,
  derivePairingKeys,
  type PairingKeys,
} from '../../packages/identity/src/pairing/transcript.ts';
import { expectCode } from '../testing/expect-code.ts';
import { selfSigned } from '../testing/lying-daemon.ts';
import { tampered } from '../testing/raw-handshake.ts';
import { recordedPeer } from '../testing/recorded-peer.ts';
import { TestDaemon } from '../testing/running-daemon.ts';
import { makeDevice } from '../testing/sample-device.ts';

const code = parsePairingCode('417-093582');
const trustDomain = 'palyra-aaaaaaaaaa.internal';
const daemonId = '01K8ZQ4YV3M6X9T2B7C5D1E0FG' as Ulid;

/** Plays the daemon to a device, with the code, its own root, and any share and hello. */
class CodeKnowingInterceptor {
  readonly channelBinding = nodeCrypto.randomBytes(32);
  readonly isKnownDaemon = false;
  readonly #root: Uint8Array;
  #session!: { ci: Uint8Array; sid: Uint8Array; commitment: Uint8Array };
  #opening!: Awaited<ReturnType<CodeKnowingInterceptor['side']>>;
  words = '';
  readonly sent: string[] = [];
  /** The answer to Exchange, which differs from its commitment. */
  cheat: (
    honest: Awaited<ReturnType<CodeKnowingInterceptor['side']>>,
    ya: Uint8Array,
    adA: Uint8Array,
  ) => Promise<Awaited<ReturnType<CodeKnowingInterceptor['side']>>> = async (honest) => honest;

  private constructor(root: Uint8Array) {
    this.#root = root;
  }

  static async make(): Promise<CodeKnowingInterceptor> {
    return new CodeKnowingInterceptor((await selfSigned()).der);
  }

  async side() {
    const { ci, sid } = this.#session;
    const { scalar, share: yb } = await makeShare(nodeCrypto, { prs: code.secret, ci, sid });
    const adB = encodeDaemonHello({ daemonId, trustDomain, time: new Date() });
    return { scalar, yb, adB, nonce: nodeCrypto.randomBytes(32) };
  }

  async keysOf(side: Awaited<ReturnType<CodeKnowingInterceptor['side']>>, ya: Uint8Array, adA: Uint8Array) {
    const k = await scalarMultVfy(nodeCrypto, side.scalar, ya);
    return derivePairingKeys(nodeCrypto, this.#session, k, { ya, adA, yb: side.yb, adB: side.adB });
  }

  async open(): Promise<OpenReply> {
    const ci = channelIdentifier(this.channelBinding, await nodeCrypto.sha256(this.#root), 'cli');
    this.#session = { ci, sid: nodeCrypto.randomBytes(16), commitment: new Uint8Array() };
    this.#opening = await this.side();
    this.#session.commitment = await commitmentTo(nodeCrypto, this.#opening);
    const { sid: sessionId, commitment } = this.#session;
    return { sessionId, rootCertificate: this.#root, commitment, expiresAt: new Date(Date.now() + 60_000) };
  }

  async exchange({ ya, deviceHello }: { ya: Uint8Array; deviceHello: Uint8Array }): Promise<ExchangeReply> {
    const side = await this.cheat(this.#opening, ya, deviceHello);
    const keys: PairingKeys = await this.keysOf(side, ya, deviceHello);
    this.words = keys.words;
    const { yb, adB: daemonHello, nonce } = side;
    return { yb, daemonHello, nonce, daemonConfirmation: keys.daemonConfirmation };
  }

  async confirm(): Promise<{ requestId: string; words: string }> {
    this.sent.push('confirm');
    return { requestId: daemonId, words: this.words };
  }

  await(): never {
    throw new TypeError('nobody waits here');
  }
}

/** The device uses the same code each time, but its tries are counted as for different codes. */
async function runOf(interceptor: CodeKnowingInterceptor, of: PairingCode = code) {
  const device = await makeDevice();
  return { device, paired: requestPairing(device, interceptor, of, '127.0.0.1:7443') };
}

test('the words, which neither side can choose, protect against an interceptor that knows the code and keeps its commitment', async () => {
  const interceptor = await CodeKnowingInterceptor.make();
  const { device, paired } = await runOf(interceptor);
  assert.equal((await paired).words, interceptor.words);
  assert.equal((await device.secrets.list('enrollments/')).length, 1);
});

test("an interceptor that searches for the operator's words after it has seen the device's share is refused before the words are shown", async () => {
  const interceptor = await CodeKnowingInterceptor.make();
  let tried = 0;
  // One of three words. Each further word takes 2048 times as long. Version 1 did not prevent this.
  interceptor.cheat = async (_honest, ya, adA) => {
    for (;;) {
      tried += 1;
      const side = await interceptor.side();
      const { words } = await interceptor.keysOf(side, ya, adA);
      if (words[0] === 'a') return side;
    }
  };
  const { device, paired } = await runOf(interceptor);
  const error = await expectCode(paired, 'DAEMON_NOT_AUTHENTICATED');
  assert.match(error.message, /does not match its earlier commitment/);
  assert.ok(tried >= 1);
  assert.match(interceptor.words, /^a/, 'the search itself succeeds');
  assert.deepEqual(interceptor.sent, [], 'no confirmation left the device');
  assert.deepEqual(
    await device.secrets.list(),
    [],
    'no try is counted, because the interceptor learnt nothing about the code',
  );
});

for (const field of ['yb', 'adB', 'nonce'] as const) {
  test(`an interceptor that opens its commitment with another ${field} is refused`, async () => {
    const interceptor = await CodeKnowingInterceptor.make();
    interceptor.cheat = async (honest) => {
      const other = await interceptor.side();
      if (field === 'yb') return { ...honest, yb: other.yb, scalar: other.scalar };
      if (field === 'nonce') return { ...honest, nonce: other.nonce };
      const time = new Date(Date.now() + 1);
      return { ...honest, adB: encodeDaemonHello({ daemonId, trustDomain, time }) };
    };
    const { device, paired } = await runOf(interceptor);
    await expectCode(paired, 'DAEMON_NOT_AUTHENTICATED');
    assert.deepEqual(interceptor.sent, []);
    assert.deepEqual(await device.secrets.list(), []);
  });
}

for (const length of [0, 31, 33]) {
  test(`a nonce of ${length} bytes and a session id of ${length} are refused`, async () => {
    for (const change of ['nonce', 'sessionId'] as const) {
      const interceptor = await CodeKnowingInterceptor.make();
      const short = new Uint8Array(length);
      const peer = {
        channelBinding: interceptor.channelBinding,
        isKnownDaemon: false,
        open: async () => ({
          ...(await interceptor.open()),
          ...(change === 'sessionId' && { sessionId: short }),
        }),
        exchange: async (call: Parameters<CodeKnowingInterceptor['exchange']>[0]) => ({
          ...(await interceptor.exchange(call)),
          ...(change === 'nonce' && { nonce: short }),
        }),
        confirm: () => interceptor.confirm(),
        await: () => interceptor.await(),
      };
      await expectCode(requestPairing(await makeDevice(), peer, code, '127.0.0.1:7443'), 'MESSAGE_INVALID');
      assert.deepEqual(interceptor.sent, []);
    }
  });
}

test('the answer to Exchange opens the commitment of Open, with a code and without one', async (t) => {
  const daemon = await TestDaemon.start(t);
  const { code: minted } = await daemon.admin.mintCode({});
  const real = parsePairingCode(minted);
  const otherSlot = String((Number(minted.slice(0, 3)) + 1) % 1000).padStart(3, '0');
  const unknown = parsePairingCode(`${otherSlot}-000000`);
  for (const { slot, secret } of [real, unknown]) {
    const peer = await recordedPeer(daemon);
    const opened = await peer.open({ version: 2, slot, kind: 'cli' });
    assert.equal(opened.commitment.length, 32);
    const reply = await exchangeBy(peer, opened, secret);
    const opening = { yb: reply.yb, adB: reply.daemonHello, nonce: reply.nonce };
    assert.ok(nodeCrypto.equal(await commitmentTo(nodeCrypto, opening), opened.commitment));
    const another = await commitmentTo(nodeCrypto, { ...opening, nonce: tampered(opening.nonce) });
    assert.ok(!nodeCrypto.equal(another, opened.commitment));
  }
});

async function exchangeBy(
  peer: Pick<Awaited<ReturnType<typeof recordedPeer>>, 'channelBinding' | 'exchange'>,
  opened: OpenReply,
  prs: Uint8Array,
): Promise<ExchangeReply> {
  const root = await nodeCrypto.sha256(opened.rootCertificate);
  const ci = channelIdentifier(peer.channelBinding, root, 'cli');
  const { share: ya } = await makeShare(nodeCrypto, { prs, ci, sid: opened.sessionId });
  const { identity, name, platform } = await makeDevice();
  const deviceHello = encodeDeviceHello({
    deviceId: identity.id,
    identityKey: identity.publicKey,
    tlsKey: TlsKey.generate().publicKey,
    name,
    platform,
  });
  return peer.exchange({ sessionId: opened.sessionId, ya, deviceHello });
}
