// The process of fleet.ts and shared-fleet-daemon.ts: a daemon with paired devices.

import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { type DaemonConfigInput, startDaemon } from '@palyra/daemon';
import { MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import { DeviceIdentity, type PairedEnrollment, recoverCertificate } from '@palyra/identity/device';
import { nodeCrypto, systemClock } from '@palyra/identity/values';

export interface FleetMember {
  /** The paired record of the device's secret store. */
  readonly identity: { readonly name: string; readonly secret: Uint8Array };
  readonly enrollment: PairedEnrollment;
}

/**
 * `cpu`: processor time so far, ms. `memory`: resident bytes. `raw`: P-256 signatures, each with a verification, a
 * second.
 */
export type FleetQuestion = 'cpu' | 'memory' | 'raw' | 'addresses';

export interface FleetAddresses {
  readonly node: string;
  readonly quic: string;
}

const host = '127.0.0.1';
const here = { host, port: 0 };
/** Devices in one message, to keep messages small. */
const perMessage = 200;
const [home = '', count = '1', extra = '{}'] = process.argv.slice(2);
const devices = Number(count);
const { limits, ...more } = JSON.parse(extra) as DaemonConfigInput;

const daemon = await startDaemon({
  home,
  config: {
    pairing: here,
    node: here,
    quic: { enabled: false },
    console: { enabled: false },
    limits: { nodeConnections: devices + 16, strangersPerSource: devices + 16, ...limits },
    ...more,
  },
  onError: (error, where) => console.error(where, error),
});
const { registry, renewals, daemonId, trustDomain, trustBundle } = daemon.identity;

const addressOf = (wanted: string) => daemon.listeners.find(({ name }) => name === wanted)?.address ?? '';

/** Enrolls a device without pairing: adds its row, and recovers a certificate after a release by the operator. */
async function enroll(): Promise<FleetMember> {
  const secrets = new MemorySecretStore();
  const identity = await DeviceIdentity.open(secrets, nodeCrypto, systemClock);
  const now = new Date();
  await registry.transact((tx) =>
    tx.insertDevice({
      id: identity.id,
      identityKey: identity.publicKey,
      name: 'sensor',
      kind: 'node',
      platform: 'linux',
      state: 'active',
      createdAt: now,
      lastSeenAt: now,
      role: 'device',
      cloneReportedAt: undefined,
      certificateRevokedAt: undefined,
      recovery: { state: 'released', at: now },
      capabilities: [],
      hostNames: [],
      labels: [],
      cloneSeenAt: undefined,
    }),
  );
  const unpaired: PairedEnrollment = {
    state: 'paired',
    root: '00'.repeat(32),
    deviceId: identity.id,
    daemonId,
    trustDomain,
    trustBundle,
    address: daemon.pairingAddress,
    nodeAddress: addressOf('node'),
    tlsKey: new Uint8Array(),
    certificateChain: [],
    receivedAt: now.getTime(),
  };
  const channel = { channelBinding: randomBytes(32), source: host };
  const enrollment = await recoverCertificate({ identity, secrets, clock: systemClock }, unpaired, {
    channelBinding: channel.channelBinding,
    challenge: async () => renewals.challenge(channel),
    recover: (request) => renewals.recover(channel, request),
  });
  // Counts as the first connection of the device.
  await daemon.identity.admit(readPeerCertificate(enrollment.certificateChain[0]!).fingerprint);
  const [name = ''] = await secrets.list('device/');
  return { identity: { name, secret: await secrets.read(name) }, enrollment };
}

function rawPerSecond(): number {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const message = randomBytes(400);
  const rounds = 3_000;
  const once = () => verify('sha256', message, publicKey, sign('sha256', message, privateKey));
  for (let round = 0; round < 300; round += 1) once();
  const started = performance.now();
  for (let round = 0; round < rounds; round += 1) once();
  return (rounds * 1000) / (performance.now() - started);
}

async function answer(question: FleetQuestion): Promise<number | FleetAddresses> {
  if (question === 'addresses') return { node: addressOf('node'), quic: addressOf('quic') };
  if (question === 'raw') return rawPerSecond();
  if (question === 'cpu') {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
  // Returns freed memory to the system before counting.
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc?.();
    await setTimeout(50);
  }
  return process.memoryUsage.rss();
}

process.on('disconnect', () => process.exit());
for (let left = devices; left > 0; left -= perMessage) {
  process.send?.(await Promise.all(Array.from({ length: Math.min(left, perMessage) }, enroll)));
}
process.on('message', async (question: FleetQuestion) => process.send?.(await answer(question)));
