// A registry in which every kind of event has happened, for tests of its readers.

import { IdentityManager, MemorySecretStore } from '@palyra/identity';
import { readPeerCertificate } from '@palyra/identity/certificate';
import {
  awaitPairing,
  type PairedEnrollment,
  recoverCertificate,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { openSqliteRegistry } from '@palyra/registry-sql';
import { expectCode } from './expect-code.ts';
import { day, HeldClock } from './held-clock.ts';
import { peerOf } from './in-process.ts';
import { makeDevice, type SampleDevice, sameIdOtherKey } from './sample-device.ts';
import { longestWaitMs } from './until.ts';
import { wrongPin } from './wrong-code.ts';

export type Who =
  | 'revoked'
  | 'quarantined'
  | 'marked'
  | 'demoted'
  | 'rekeyed'
  | 'asking'
  | 'allowed'
  | 'ordinary'
  | 'leaked'
  | 'operator';

export interface History {
  /** Ids by the fate of the device. */
  readonly devices: Readonly<Record<Who, string>>;
  readonly now: Date;
}

const minute = 60_000;
const address = 'daemon.example:7443';

/** Writes such a registry into a new file. */
export async function writeHistory(path: string): Promise<History> {
  const registry = await openSqliteRegistry({ path });
  const clock = new HeldClock();
  const identity = await IdentityManager.open({
    registry,
    secrets: new MemorySecretStore(),
    clock,
    cloning: 'quarantine',
  });
  const { desk, renewals } = identity;
  const enrollments = new Map<Who, PairedEnrollment>();
  const devices = new Map<Who, SampleDevice>();

  const request = async (device: SampleDevice, options: { autoApprove?: boolean } = {}) => {
    const { code } = await desk.mint({
      kind: 'typed',
      address,
      by: { kind: 'local', at: 'admin socket' },
      ...options,
    });
    return requestPairing(device, peerOf(identity), parsePairingCode(code), address);
  };
  const pair = async (device: SampleDevice, choice: Parameters<typeof desk.approve>[1] = {}) => {
    const pending = await request(device);
    await desk.approve(pending.requestId, { by: { kind: 'local', at: 'admin socket' }, ...choice });
    return awaitPairing(device, peerOf(identity), pending, { signal: AbortSignal.timeout(longestWaitMs) });
  };
  const admit = (enrollment: PairedEnrollment, source = '192.0.2.1') =>
    identity.admit(readPeerCertificate(enrollment.certificateChain[0]!).fingerprint, source);
  const enter = async (who: Who, choice: Parameters<typeof desk.approve>[1] = {}) => {
    const device = await makeDevice({ clock, name: who });
    const enrollment = await pair(device, choice);
    await admit(enrollment);
    devices.set(who, device);
    enrollments.set(who, enrollment);
  };
  const renew = async (who: Who) => {
    const enrollment = enrollments.get(who)!;
    const caller = await admit(enrollment);
    const renewed = await renewCertificate(devices.get(who)!, enrollment, (proof) =>
      renewals.renew(caller, proof),
    );
    await admit(renewed);
    enrollments.set(who, renewed);
    return enrollment;
  };
  const recover = (who: Who) => {
    const channel = { channelBinding: new Uint8Array(32), source: '192.0.2.9' };
    return recoverCertificate(devices.get(who)!, enrollments.get(who)!, {
      channelBinding: channel.channelBinding,
      challenge: async () => renewals.challenge(channel),
      recover: (proven) => renewals.recover(channel, proven),
    });
  };
  const id = (who: Who) => devices.get(who)!.identity.id;
  try {
    for (const who of [
      'revoked',
      'quarantined',
      'marked',
      'rekeyed',
      'asking',
      'allowed',
      'ordinary',
      'leaked',
    ] as const)
      await enter(who);
    await enter('demoted', { operator: true });
    await enter('operator', { operator: true });
    await identity.issueServerCredential({ dnsNames: [], ipAddresses: [] });

    await renew('revoked');
    await identity.revokeDevice(id('revoked'), 'stolen');
    await identity.setDeviceRole(id('demoted'), 'device');
    await identity.renameDevice(id('ordinary'), 'workshop');
    await renew('ordinary');
    for (const who of ['quarantined', 'marked'] as const) {
      const old = await renew(who);
      clock.advance(10 * minute);
      await expectCode(admit(old, '203.0.113.9'), 'CERTIFICATE_SUPERSEDED');
      if (who === 'marked') {
        await identity.releaseDevice(id(who));
        clock.advance(2 * day);
        await expectCode(admit(old, '203.0.113.9'), 'CERTIFICATE_SUPERSEDED').catch(() => {});
      }
    }
    for (const who of ['asking', 'allowed', 'leaked'] as const) {
      const { serial } = readPeerCertificate(enrollments.get(who)!.certificateChain[0]!);
      await identity.revokeCertificate(serial, 'leaked');
      if (who === 'leaked') continue;
      await expectCode(recover(who), 'RECOVERY_NEEDS_APPROVAL');
    }
    await identity.releaseDevice(id('allowed'));
    const reinstalled = {
      ...devices.get('rekeyed')!,
      identity: await sameIdOtherKey(devices.get('rekeyed')!.identity),
    };
    await pair(reinstalled, { replaceIdentityKey: true });

    // Codes and requests in every state.
    const guessed = await desk.mint({ kind: 'typed', address });
    await requestPairing(
      await makeDevice({ clock }),
      peerOf(identity),
      wrongPin(guessed.code),
      address,
    ).catch(() => {});
    await desk.mint({ kind: 'qr', address, autoApprove: true, by: { kind: 'local', at: 'console' } });
    await desk.reject((await desk.mint({ kind: 'typed', address })).pairing.id, 'not needed');
    await desk.reject((await request(await makeDevice({ clock }))).requestId, 'not mine');
    await request(await makeDevice({ clock }));
    await request(await makeDevice({ clock }), { autoApprove: true });
    await desk.mint({ kind: 'typed', address, lifeMs: minute });
    clock.advance(2 * minute);
    await identity.tick();

    await identity.rootRotation.prepare();
    await identity.rootRotation.rollback();
    await identity.rootRotation.prepare();
    await identity.rootRotation.activate(true);
    await identity.reloadAuthority();
    await identity.rootRotation.rollback();
    await identity.reloadAuthority();
    await identity.rootRotation.rollback();
    await identity.reloadAuthority();
    await identity.rootRotation.finish(true);
    await identity.rootRotation.prepare();
    return {
      devices: Object.fromEntries([...devices].map(([who]) => [who, String(id(who))])) as Record<
        string,
        string
      > as Record<Who, string>,
      now: clock.now(),
    };
  } finally {
    await registry.close();
  }
}
