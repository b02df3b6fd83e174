// Kills the daemon, a real process, at every step of a pairing: right before the step's commit, right after it and
// before the answer, and right after the answer. After a restart, no acknowledged change may be missing.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  awaitPairing,
  type Enrollment,
  loadEnrollments,
  type PairedEnrollment,
  type PairingPeer,
  type PendingEnrollment,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import type { PairingState } from '@palyra/identity/registry';
import {
  Authority_Tier,
  CertificateState,
  DeviceState,
  pairingStates,
  PairingState as WireState,
} from '@palyra/rpc/admin';
import { DaemonProcess } from '../testing/daemon-process.ts';
import { expectCode } from '../testing/expect-code.ts';
import { freePort } from '../testing/free-port.ts';
import { answer, configure, makeHome, PalyraProcess } from '../testing/palyra-process.ts';
import { makeDevice, type SampleDevice } from '../testing/sample-device.ts';
import { variants } from '../testing/soak.ts';
import { longestWaitMs } from '../testing/until.ts';

/** The stored state after a step: in the registry, and on the device that got the answer. */
interface Stored {
  readonly state?: PairingState;
  readonly guessesLeft?: number;
  readonly device?: Enrollment['state'] | undefined;
}

/** The steps, in order. `writes` is a text that only this step's change contains. */
const steps = [
  { step: 'mint', writes: 'code.minted', stored: { state: 'waiting', guessesLeft: 3 } },
  { step: 'open', writes: undefined, stored: { state: 'waiting', guessesLeft: 3 } },
  { step: 'exchange', writes: 'code.guessed', stored: { state: 'waiting', guessesLeft: 2 } },
  {
    step: 'confirm',
    writes: 'request.received',
    stored: { state: 'pending_approval', guessesLeft: 2, device: 'pending' },
  },
  {
    step: 'approve',
    writes: 'request.approved',
    stored: { state: 'approved', guessesLeft: 2, device: 'pending' },
  },
  {
    step: 'issue',
    writes: 'certificate.issued',
    stored: { state: 'issued', guessesLeft: 2, device: 'paired' },
  },
  {
    step: 'activate',
    writes: 'certificate.activated',
    stored: { state: 'active', guessesLeft: 2, device: 'paired' },
  },
] as const satisfies readonly { step: string; writes: string | undefined; stored: Stored }[];

type Step = (typeof steps)[number]['step'];
const stepsNamed = steps.map(({ step }) => step);

/** One home for all steps: a daemon that recovered from one kill is killed again. Undefined after a failed test. */
let standing: DaemonProcess | undefined;
/** The pairings of the earlier rounds. */
const over = new Set<string>();
const ends: (() => Promise<void>)[] = [];
const ofFile = { after: (end: () => Promise<void>) => void ends.push(end) };
after(async () => {
  for (const end of ends) await end();
});

/** A kill between commit and answer is played for each step, because the step is half done then. */
const [beforeCommit, afterAnswer] = [
  variants<Step>(stepsNamed, (step) => ['mint', 'exchange', 'issue'].includes(step)),
  variants<Step>(stepsNamed, (step) => ['open', 'confirm', 'approve', 'activate'].includes(step)),
];

for (const [at, { step, writes, stored }] of steps.entries()) {
  const before: Stored = steps[at - 1]?.stored ?? {};
  if (writes !== undefined && beforeCommit.includes(step))
    test(`killed before the commit of ${step}, the pairing is unchanged and completes`, () =>
      killedAtCommit(`before|${writes}`, before));
  if (writes !== undefined)
    test(`killed between the commit of ${step} and its answer, the pairing has moved and completes`, () =>
      killedAtCommit(`after|${writes}`, { ...stored, device: before.device }));
  if (afterAnswer.includes(step))
    test(`killed after the answer to ${step}, the pairing has moved and completes`, () =>
      killedAfterAnswer(step, stored));
}

test('after a kill during the last guess, the code is exhausted', async (t) => {
  const home = await makeHome(t);
  await configure(home, { limits: { guessesPerCode: 1 } });
  const story = await newStory();
  const first = await DaemonProcess.start(t, { home });
  await expectCode(play(first, story, 'exchange'), 'UNREACHABLE');

  const second = await DaemonProcess.start(t, { home });
  const { state } = await (await second.admin()).getPairing({ id: story.pairingId! });
  assert.equal(state, WireState.EXHAUSTED);
  await refuseSpentCode(second, story.code!);
});

for (const [moment, at] of [
  ['before the daemon and its root are stored', 'before|daemon.created'],
  ['between the daemon and its issuing CA', 'after|daemon.created'],
  ['between the issuing CA and the daemon certificate', 'after|"tier":"issuing"'],
] as const) {
  test(`killed in its first start, ${moment}, the next start creates one complete daemon`, async (t) => {
    const home = await makeHome(t);
    const first = PalyraProcess.start(['daemon'], { home, ...(await killing(home, at)) });
    assert.equal((await first.ended).signal, 'SIGKILL');

    const second = await DaemonProcess.start(t, { home });
    const { authorities } = await (await second.admin()).getAuthority({});
    assert.deepEqual(authorities.map(({ tier, active }) => `${Authority_Tier[tier]} ${active}`).sort(), [
      'ISSUING true',
      'ROOT true',
    ]);
    await checkAudit(second);
    await second.stop();
    const third = await DaemonProcess.start(t, { home });
    assert.equal(third.daemonId, second.daemonId);
    assert.equal(third.rootFingerprint, second.rootFingerprint);
  });
}

test('the command `pair` waits through a daemon that is killed and comes back', async (t) => {
  const home = await makeHome(t);
  await configure(home, {
    pairing: { host: '127.0.0.1', port: await freePort() },
    node: { host: '127.0.0.1', port: await freePort() },
  });
  const first = await DaemonProcess.start(t, { home });
  const { code } = await answer(['pairing', 'code'], { home });
  const deviceHome = await makeHome(t);
  const pair = PalyraProcess.start(['pair', first.pairingAddress, '--code-stdin'], {
    home: deviceHome,
    stdin: code,
  });
  t.after(async () => void (await pair.end('SIGKILL')));
  const { request_id: id } = await pair.line(({ event }) => event === 'words');
  await first.kill();

  const second = await DaemonProcess.start(t, { home });
  assert.equal(second.daemonId, first.daemonId);
  await answer(['pairing', 'approve', id], { home });
  const { exitCode, lines } = await pair.ended;
  assert.equal(exitCode, 0);
  assert.equal(lines.at(-1)?.event, 'paired');
  assert.equal((await answer(['node', 'status'], { home: deviceHome })).daemon_id, first.daemonId);
});

async function killedAtCommit(at: string, expected: Stored): Promise<void> {
  const story = await newStory();
  const first = await takeStanding();
  await killing(first.home, at);
  await expectCode(play(first, story), 'UNREACHABLE');
  assert.equal((await first.process.ended).signal, 'SIGKILL');
  standing = await comeBack(first, story, expected);
}

async function killedAfterAnswer(step: Step, expected: Stored): Promise<void> {
  const story = await newStory();
  const first = await takeStanding();
  if (step === 'activate') await play(first, story, step);
  else await expectCode(play(first, story, step), 'UNREACHABLE');
  standing = await comeBack(first, story, expected);
}

async function takeStanding(): Promise<DaemonProcess> {
  const found = standing;
  standing = undefined;
  if (found) return found;
  const home = await makeHome(ofFile);
  return DaemonProcess.start(ofFile, { home, ...(await killing(home)) });
}

/** @param at the point at which the daemon of the home kills itself. Default: never. */
async function killing(home: string, at = '') {
  const program = join(import.meta.dirname, '../testing/kill-at-commit.ts');
  const order = join(home, 'kill-at');
  await writeFile(order, at);
  return { node: ['--import', program], env: { PALYRA_TEST_KILL: order } };
}

/** The state in the hands of operator and device. */
interface Story {
  readonly device: SampleDevice;
  code?: string;
  pairingId?: string;
  pending?: PendingEnrollment;
  paired?: PairedEnrollment;
}

async function newStory(): Promise<Story> {
  return { device: await makeDevice() };
}

/** From a code to the first call. @param killAfter the daemon is killed when this step is answered. */
async function play(daemon: DaemonProcess, story: Story, killAfter?: Step): Promise<void> {
  const answered = async <T>(step: Step, call: Promise<T>): Promise<T> => {
    const reply = await call;
    if (step === killAfter) await daemon.kill();
    return reply;
  };
  const admin = await daemon.admin();
  const minted = await answered('mint', admin.mintCode({}));
  story.code = minted.code;
  story.pairingId = minted.pairingId;
  const real = await daemon.peer();
  const peer: PairingPeer = {
    ...real,
    open: (request) => answered('open', real.open(request)),
    exchange: (request) => answered('exchange', real.exchange(request)),
    confirm: (request) => answered('confirm', real.confirm(request)),
  };
  const code = parsePairingCode(minted.code);
  story.pending = await requestPairing(story.device, peer, code, daemon.pairingAddress);
  await answered('approve', admin.approvePairing({ id: story.pending.requestId }));
  story.paired = await answered('issue', collect(daemon, story.device, story.pending));
  await answered('activate', (await daemon.node(story.paired)).status({}));
}

async function comeBack(first: DaemonProcess, story: Story, expected: Stored): Promise<DaemonProcess> {
  const { device } = story;
  assert.deepEqual(
    (await loadEnrollments(device.secrets)).map((each) => each.state),
    expected.device ? [expected.device] : [],
    'the state of the device',
  );
  const second = await DaemonProcess.start(ofFile, {
    home: first.home,
    ...(await killing(first.home)),
  });
  assert.equal(second.daemonId, first.daemonId);
  assert.equal(second.rootFingerprint, first.rootFingerprint);
  const admin = await second.admin();
  const [found, ...more] = (await admin.listPairings({})).pairings.filter(({ id }) => !over.has(id));
  assert.equal(more.length, 0);
  assert.equal(found && pairingStates.show(found.state), expected.state);
  assert.equal(found?.guessesLeft, expected.guessesLeft);
  if (story.pairingId) assert.equal(found?.id, story.pairingId);
  if (story.pending) assert.equal(found?.device?.words, story.pending.words);
  await checkAudit(second);

  const serial = await finish(second, story);
  if (found?.serial) assert.equal(serial, found.serial, 'the certificate is the one that was issued before');
  const { devices } = await admin.listDevices({});
  assert.deepEqual(
    devices.filter(({ id }) => id === device.identity.id).map(({ id, state }) => ({ id, state })),
    [{ id: device.identity.id, state: DeviceState.ACTIVE }],
  );
  const { certificates } = await admin.getDevice({ id: device.identity.id });
  assert.deepEqual(
    certificates.map((each) => ({ serial: each.serial, state: each.state })),
    [{ serial, state: CertificateState.ACTIVE }],
  );
  if (story.code) await refuseSpentCode(second, story.code);
  await checkAudit(second);
  for (const { id } of (await admin.listPairings({})).pairings) over.add(id);
  return second;
}

/** Completes the pairing as people would: with the same code if it is still valid, otherwise with a new one. @returns the certificate's serial. */
async function finish(daemon: DaemonProcess, story: Story): Promise<string> {
  const { device } = story;
  const admin = await daemon.admin();
  if (!story.pending) {
    const waits =
      story.pairingId && (await admin.getPairing({ id: story.pairingId })).state === WireState.WAITING;
    if (story.code && !waits) await refuseSpentCode(daemon, story.code);
    const code = waits ? story.code! : (await admin.mintCode({})).code;
    const peer = await daemon.peer();
    story.pending = await requestPairing(device, peer, parsePairingCode(code), daemon.pairingAddress);
  }
  const { requestId } = story.pending;
  const { state } = await admin.getPairing({ id: requestId });
  if (state === WireState.PENDING_APPROVAL) await admin.approvePairing({ id: requestId });
  else await expectCode(admin.approvePairing({ id: requestId }), 'PAIRING_STATE_CONFLICT');
  const paired = story.paired ?? (await collect(daemon, device, story.pending));
  // A daemon with an automatic port now has another port.
  await (await daemon.node(paired)).status({});
  assert.equal((await admin.getPairing({ id: requestId })).state, WireState.ACTIVE);
  return readPeerCertificate(paired.certificateChain[0]!).serial;
}

async function collect(
  daemon: DaemonProcess,
  device: SampleDevice,
  pending: PendingEnrollment,
): Promise<PairedEnrollment> {
  return awaitPairing(device, await daemon.peer(pending), pending, {
    signal: AbortSignal.timeout(longestWaitMs),
  });
}

async function refuseSpentCode(daemon: DaemonProcess, code: string): Promise<void> {
  const other = await makeDevice();
  await expectCode(
    requestPairing(other, await daemon.peer(), parsePairingCode(code), daemon.pairingAddress),
    'DAEMON_NOT_AUTHENTICATED',
  );
  assert.deepEqual(await other.secrets.list('enrollments/'), []);
}

async function checkAudit(daemon: DaemonProcess): Promise<void> {
  const verdict = await (await daemon.admin()).verifyAudit({});
  assert.ok(verdict.ok, verdict.problem);
}
