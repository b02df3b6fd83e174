// The steps of the tour, in order. Each step does one thing, checks it, and reports the result to a person.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { join } from 'node:path';
import process from 'node:process';
import type tls from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { certificatesToPem, readPeerCertificate } from '@palyra/identity/certificate';
import {
  DeviceIdentity,
  loadEnrollments,
  type PairedEnrollment,
  renewCertificate,
} from '@palyra/identity/device';
import { nodeCrypto, systemClock } from '@palyra/identity/values';
import { dialNode, NodeService } from '@palyra/rpc';
import { createQuic, dialNodeQuic } from '@palyra/transport-quic';
import { bareSocket, credentialOf } from '../../tests/testing/bare-tls.ts';
import { DaemonProcess } from '../../tests/testing/daemon-process.ts';
import { freePort } from '../../tests/testing/free-port.ts';
import {
  answer,
  configure,
  failure,
  type PalyraOptions,
  PalyraProcess,
  palyra,
} from '../../tests/testing/palyra-process.ts';
import { frame, type RawAnswer, rawCall } from '../../tests/testing/raw-call.ts';
import { openDeviceStore, type Scene } from './scene.ts';

export interface Step<S extends Scene = Scene> {
  readonly name: string;
  /** @returns the text for a person. Rejects if the check fails. */
  play(scene: S): Promise<string>;
}

export const steps: readonly Step[] = [
  {
    name: 'start',
    async play(scene) {
      await configure(scene.home);
      scene.daemon = await DaemonProcess.start(scene, { home: scene.home });
      const { trustDomain, pairingAddress, nodeAddress } = scene.daemon;
      return `${trustDomain}: pairing at ${pairingAddress}, node at ${nodeAddress}`;
    },
  },
  {
    name: 'mint',
    async play(scene) {
      const { code } = await answer(['pairing', 'code'], { home: scene.home });
      assert.match(code, /^[0-9]{3}-[0-9]{6}$/);
      scene.code = code;
      return `code ${code}`;
    },
  },
  {
    name: 'pair',
    async play(scene) {
      const { daemon, deviceHome: home, code } = scene;
      const words = [
        'pair',
        daemon.pairingAddress,
        '--code-stdin',
        '--kind',
        'node',
        '--name',
        'kitchen sensor',
      ];
      scene.pair = PalyraProcess.start(words, { home, stdin: code });
      scene.after(async () => void (await scene.pair.end('SIGKILL')));
      const shown = await scene.pair.line(({ event }) => event === 'words');
      assert.equal(shown.daemon_id, daemon.daemonId);
      scene.requestId = shown.request_id;
      scene.words = shown.words;
      return `the device shows: ${scene.words}`;
    },
  },
  {
    name: 'words equal on both sides',
    async play({ home, requestId, words }) {
      const { device, state } = await answer(['pairing', 'show', requestId], { home });
      assert.equal(state, 'pending_approval');
      assert.equal(device.words, words);
      return `the operator sees: ${device.words}, from ${device.name} (${device.kind})`;
    },
  },
  {
    name: 'approve',
    async play(scene) {
      await answer(['pairing', 'approve', scene.requestId], { home: scene.home });
      const { exitCode, lines, stderr } = await scene.pair.ended;
      const paired = lines.at(-1)!;
      assert.equal(exitCode, 0, paired.error?.message ?? stderr);
      assert.equal(paired.event, 'paired');
      scene.deviceId = paired.device_id;
      return `the device is ${scene.deviceId}, its certificate valid until ${paired.certificate_not_after}`;
    },
  },
  {
    name: 'first mTLS call',
    async play({ home, deviceHome, deviceId }) {
      const status = await answer(['node', 'status'], { home: deviceHome });
      assert.equal(status.device_id, deviceId);
      const { state, certificates } = await answer(['devices', 'show', deviceId], { home });
      assert.equal(state, 'active');
      assert.equal(certificates[0].serial, status.serial);
      return `the daemon knows it as "${status.device_name}", by certificate ${status.serial}`;
    },
  },
  {
    name: 'the same call over QUIC',
    async play({ deviceHome, deviceId }) {
      const enrollment = await pairedEnrollment(deviceHome);
      const connection = await dialNodeQuic(createQuic(), enrollment);
      const status = await createClient(NodeService, connection.transport).status({});
      connection.close();
      assert.equal(status.deviceId, deviceId);
      return `the same answer at ${enrollment.quicAddress} (UDP), by certificate ${status.serial}`;
    },
  },
  {
    name: 'a renewal under a live connection',
    async play({ deviceHome }) {
      const enrollment = await pairedEnrollment(deviceHome);
      const live = await dialNode(enrollment.nodeAddress, enrollment);
      const node = createClient(NodeService, live.transport);
      const secrets = await openDeviceStore(deviceHome);
      const identity = await DeviceIdentity.load(secrets, nodeCrypto);
      const device = { identity, secrets, clock: systemClock };
      const renewed = await renewCertificate(device, enrollment, (proof) => node.renew(proof));
      await secrets.close();
      const { serial: before } = await node.status({});
      assert.equal(before, serialOf(enrollment));
      const next = await dialNode(renewed.nodeAddress, renewed);
      const { serial } = await createClient(NodeService, next.transport).status({});
      assert.equal(serial, serialOf(renewed));
      await live.closed;
      next.close();
      return `the connection stayed open until the new certificate ${serial} was used; that ended the old one`;
    },
  },
  {
    name: 'a capability run on the device',
    async play(scene) {
      scene.agent = PalyraProcess.start(['node', 'run'], { home: scene.deviceHome });
      scene.after(async () => void (await scene.agent.end('SIGKILL')));
      const { transport } = await scene.agent.line(({ event }) => event === 'connected');
      assert.equal(transport, 'quic');
      const run = await answer(['node', 'exec', scene.deviceId, 'system.info'], { home: scene.home });
      assert.equal(run.output.node, process.version);
      return `system.info over QUIC in ${run.elapsed_ms} ms: ${run.output.platform ?? ''} Node ${run.output.node}`;
    },
  },
  {
    name: 'a call without a certificate refused',
    async play({ daemon, deviceHome }) {
      const enrollment = await pairedEnrollment(deviceHome);
      // The same call succeeds with the device's certificate, so the certificate makes the difference.
      const { trailers } = await statusCall(daemon, enrollment, credentialOf(enrollment));
      assert.equal(trailers['grpc-status'], '0');
      const refused = await statusCall(daemon, enrollment, {}).catch((error: NodeJS.ErrnoException) => error);
      if (!(refused instanceof Error)) assert.deepEqual(refused.headers, {}, 'the daemon answered');
      return `the daemon closed the connection and answered nothing`;
    },
  },
  {
    name: 'a wrong code refused',
    async play({ daemon, home, strangerHome }) {
      const minted = await answer(['pairing', 'code'], { home });
      const pair = palyra(['pair', daemon.pairingAddress, '--code-stdin'], {
        home: strangerHome,
        stdin: wrongPin(minted.code),
      });
      const message = await failure(pair, { code: 'DAEMON_NOT_AUTHENTICATED', exitCode: 3 });
      const store = await openDeviceStore(strangerHome);
      const kept = await store.list('enrollments/');
      await store.close();
      assert.deepEqual(kept, [], 'the device stored something');
      const { guesses_left: left } = await answer(['pairing', 'show', minted.pairing_id], { home });
      assert.equal(left, 2);
      return `${message} [DAEMON_NOT_AUTHENTICATED, exit code 3; guesses left: ${left}]`;
    },
  },
  {
    name: 'revoke',
    async play({ daemon, home, deviceHome, deviceId, agent }) {
      const enrollment = await pairedEnrollment(deviceHome);
      const live = [
        await dialNode(enrollment.nodeAddress, enrollment),
        await dialNodeQuic(createQuic(), enrollment),
      ];
      for (const { transport } of live) await createClient(NodeService, transport).status({});
      const admin = await daemon.admin();
      const startedAt = performance.now();
      const closed = live.map(async (each) => {
        await each.closed;
        return `${each.name} after ${(performance.now() - startedAt).toFixed(1)} ms`;
      });
      await admin.revokeDevice({ id: deviceId, reason: 'lost on the train' });
      const shown = (await Promise.all(closed)).join(', ');
      const { lines } = await agent.ended;
      assert.equal(lines.at(-1)!.error?.code, 'DEVICE_REVOKED');
      const { state } = await answer(['devices', 'show', deviceId], { home });
      assert.equal(state, 'revoked');
      return `${deviceId} is revoked: lost on the train. Live connections closed: ${shown}; its agent received the reason and stopped`;
    },
  },
  {
    name: 'the revoked device refused',
    async play({ home, deviceHome, deviceId }) {
      const call = palyra(['node', 'status'], { home: deviceHome });
      const message = await failure(call, { code: 'DEVICE_REVOKED', exitCode: 3 });
      const { decision, code } = await answer(['why', deviceId], { home });
      assert.deepEqual({ decision, code }, { decision: 'refused', code: 'DEVICE_REVOKED' });
      return `${message} [DEVICE_REVOKED, exit code 3]`;
    },
  },
  {
    name: 'a recovery of an expired device',
    async play(scene) {
      const { earlierHome: home, earlierDeviceHome } = scene;
      await configure(home, { pairing: await fixed(), node: await fixed(), quic: { enabled: false } });
      // The authority is two months old. The device was paired two days ago, and both have been off since.
      await (await DaemonProcess.start(scene, { home, ...hoursAgo(61.5 * 24) })).stop();
      const past = await DaemonProcess.start(scene, { home, ...hoursAgo(48) });
      const { code } = await answer(['pairing', 'code'], { home, ...hoursAgo(48) });
      const pair = PalyraProcess.start(['pair', past.pairingAddress, '--code-stdin'], {
        home: earlierDeviceHome,
        stdin: code,
        ...hoursAgo(48),
      });
      scene.after(async () => void (await pair.end('SIGKILL')));
      const { request_id: requestId } = await pair.line(({ event }) => event === 'words');
      await answer(['pairing', 'approve', requestId], { home, ...hoursAgo(48) });
      assert.equal((await pair.ended).exitCode, 0);
      await answer(['node', 'status'], { home: earlierDeviceHome, ...hoursAgo(48) });
      await past.stop();

      scene.daemon = await DaemonProcess.start(scene, { home });
      const call = palyra(['node', 'status'], { home: earlierDeviceHome });
      await failure(call, { code: 'CERTIFICATE_EXPIRED', exitCode: 3 });
      const agent = PalyraProcess.start(['node', 'run'], { home: earlierDeviceHome });
      scene.after(async () => void (await agent.end('SIGKILL')));
      await agent.line(({ event, how }) => event === 'renewed' && how === 'recovery');
      await agent.line(({ event }) => event === 'connected');
      await agent.end('SIGINT');
      return 'off for two days, with a certificate expired for one: the agent recovered automatically with the identity key';
    },
  },
];

/** A listener that returns at its old address. */
const fixed = async () => ({ host: '127.0.0.1', port: await freePort() });

/** Options for a process whose clock is behind. */
function hoursAgo(hours: number): Pick<PalyraOptions, 'node' | 'env'> {
  const program = join(import.meta.dirname, '../../tests/testing/earlier-clock.ts');
  return { node: ['--import', program], env: { PALYRA_TEST_HOURS_AGO: String(hours) } };
}

const serialOf = ({ certificateChain: [leaf] }: PairedEnrollment): string =>
  readPeerCertificate(leaf!).serial;

async function pairedEnrollment(home: string): Promise<PairedEnrollment> {
  const store = await openDeviceStore(home);
  try {
    const paired = (await loadEnrollments(store)).find((each) => each.state === 'paired');
    assert.ok(paired, 'the device has stored no certificate');
    return paired;
  } finally {
    await store.close();
  }
}

/** Calls Status without our dialer. */
async function statusCall(
  daemon: DaemonProcess,
  { trustBundle, trustDomain }: PairedEnrollment,
  credential: tls.ConnectionOptions,
): Promise<RawAnswer> {
  const ca = certificatesToPem(trustBundle);
  const socket = await bareSocket(daemon.nodeAddress, { ca, servername: trustDomain, ...credential });
  const session = http2.connect(`https://${daemon.nodeAddress}`, { createConnection: () => socket });
  session.on('error', () => {});
  try {
    return await rawCall(session, `/${NodeService.typeName}/Status`, frame(new Uint8Array()));
  } finally {
    session.destroy();
  }
}

function wrongPin(code: string): string {
  const [slot, pin] = code.split('-') as [string, string];
  return `${slot}-${String((Number(pin) + 1) % 1_000_000).padStart(6, '0')}`;
}
