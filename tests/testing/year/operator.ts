// The simulated operator: makes codes, compares words, revokes, rotates the root, makes backups, and restores them
// after the disk is lost. Repeats requests that the daemon did not answer.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { backupHome, restoreHome } from '@palyra/daemon/home';
import { hasCode, IdentityError } from '@palyra/identity';
import type { RegistryEvent } from '@palyra/identity/registry';
import type { DeviceId } from '@palyra/identity/values';
import type { Random } from '../random.ts';
import type { Agenda } from './agenda.ts';
import { peerCertificate } from './chain.ts';
import { type Authority, unlessUnreachable, usualLifeMs } from './daemon.ts';
import type { SimulatedDevice } from './device.ts';
import type { Invariants, RegistryContents } from './invariants.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const backupEveryMs = 21 * day;
const backupsKept = 3;
/** After this time, a rotation continues without devices that were not seen. */
const rotationPatienceMs = 20 * day;
const passphrase = 'correct horse battery';

type Incident = 'revoke' | 'revoke certificate' | 'pair again' | 'reinstall' | 'steal';
const incidents: readonly Incident[] = [
  'revoke',
  'revoke certificate',
  'pair again',
  'pair again',
  'reinstall',
  'steal',
  'steal',
];
/** Time before a restore. */
const badDayMs = 2 * day;

interface Backup {
  readonly file: string;
  readonly atMs: number;
}

export class Operator {
  readonly #agenda: Agenda;
  readonly #daemon: Authority;
  readonly #invariants: Invariants;
  readonly #random: Random;
  readonly #folder: string;
  readonly #restores: boolean;
  #devices: readonly SimulatedDevice[] = [];
  #backups: Backup[] = [];
  #isFinishing = false;
  #rotation: { activatedMs?: number; finishedMs?: number } = {};

  constructor(options: {
    readonly agenda: Agenda;
    readonly daemon: Authority;
    readonly invariants: Invariants;
    readonly random: Random;
    /** The folder for backups. */
    readonly folder: string;
    /** Whether it makes backups, and restores them. */
    readonly restores: boolean;
  }) {
    this.#agenda = options.agenda;
    this.#daemon = options.daemon;
    this.#invariants = options.invariants;
    this.#random = options.random;
    this.#folder = options.folder;
    this.#restores = options.restores;
    this.#daemon.onEvent = (event) => this.#see(event);
  }

  /** @param days of the whole year, over which single events are spread. */
  begin(devices: readonly SimulatedDevice[], days: number): void {
    this.#devices = devices;
    const part = (of: number) => of * days * day;
    this.#every(
      () => this.#random.exponential(4 * day),
      () => this.#incident(this.#random.pick(incidents), this.#random.pick(this.#devices)),
    );
    this.#every(
      () => this.#random.exponential(12 * day),
      () => this.#mishap(),
    );
    this.#every(
      () => day,
      () => this.#releaseDevices(),
    );
    this.#every(
      () => 7 * day,
      () => this.#lookAtLists(),
    );
    this.#every(
      () => part(0.15),
      () => this.#daemon.verifyAudit(),
    );
    if (this.#restores) this.#beginRestores(part);
    this.#agenda.after(part(this.#random.between(0.33, 0.4)), () => this.#rotate());
    for (const at of [0.1, 0.6]) {
      this.#agenda.after(part(at), () => this.#restartWith(day));
      this.#agenda.after(part(at) + 2 * day, () => this.#restartWith(usualLifeMs));
    }
  }

  #beginRestores(part: (of: number) => number): void {
    this.#every(
      () => backupEveryMs,
      () => this.#backUp(),
    );
    for (const at of [this.#random.between(0.22, 0.3), this.#random.between(0.72, 0.88)]) {
      const isDiskLost = at > 0.5;
      this.#agenda.after(part(at) - badDayMs, () => this.#badDay());
      this.#agenda.after(part(at), () => this.#restore(isDiskLost));
    }
  }

  /** From now on, nothing goes wrong. */
  settle(): void {
    this.#isFinishing = true;
    this.#daemon.crashAt(Number.POSITIVE_INFINITY, false);
    this.#daemon.clockOffsetMs = 0;
    this.#invariants.clockSetBack();
  }

  /** For one device. @throws UNREACHABLE, TOO_MANY_CODES */
  async code(): Promise<string> {
    return (
      await this.#daemon.operate(({ desk }) => desk.mint({ kind: 'typed', lifeMs: hour, address: 'x:1' }))
    ).code;
  }

  #see(event: RegistryEvent): void {
    if (event.type !== 'pairing_changed' || event.pairing.state !== 'pending_approval') return;
    const { id } = event.pairing;
    this.#later(this.#random.between(minute, 1.1 * hour), () => this.#decide(id));
  }

  async #decide(id: string): Promise<void> {
    const pairing = await this.#daemon.operate(({ registry }) => registry.pairing(id));
    if (!pairing || !('request' in pairing) || !pairing.request) return;
    const { deviceId, name, words, continuity } = pairing.request;
    const device = this.#devices.find((each) => each.name === name);
    const old = await this.#daemon.operate(({ registry }) => registry.device(deviceId));
    const oldKey =
      continuity === 'another_key' && old ? Buffer.from(old.identityKey).toString('hex') : undefined;
    try {
      if ((await device?.words()) !== words) {
        await this.#daemon.operate(({ desk }) => desk.reject(id, 'other words'));
        return;
      }
      this.#invariants.approving(deviceId);
      if (oldKey) this.#invariants.keyReplaced(deviceId, oldKey, 'maybe');
      await this.#daemon.operate(({ desk }) =>
        desk.approve(id, { replaceIdentityKey: oldKey !== undefined }),
      );
      if (oldKey) this.#invariants.keyReplaced(deviceId, oldKey, 'yes');
      this.#invariants.happened(oldKey ? 'key replaced' : `approved ${continuity}`, name);
    } catch (error) {
      if (!hasCode(error, 'UNREACHABLE') && error instanceof IdentityError) return;
      throw error;
    }
  }

  /** Releases devices that were away for too long. */
  async #releaseDevices(): Promise<void> {
    const devices = await this.#daemon.operate(({ registry }) => registry.devices({ limit: 1000 }));
    for (const device of devices) {
      if (device.state === 'revoked' || device.recovery?.state !== 'asked') continue;
      const { id, name } = device;
      await this.#daemon.operate((identity) => identity.releaseDevice(id));
      this.#invariants.happened('recovery released', name);
    }
  }

  /** Makes one change of each kind that a restore must not undo. */
  async #badDay(): Promise<void> {
    for (const kind of ['revoke', 'revoke certificate', 'reinstall'] as const) {
      const connected = this.#devices.filter((each) => each.isConnected);
      if (connected.length > 0) await this.#incident(kind, this.#random.pick(connected));
    }
  }

  async #incident(kind: Incident, device: SimulatedDevice): Promise<void> {
    const enrollment = await device.paired();
    if (!enrollment || device.isRetired || this.#isFinishing) return;
    switch (kind) {
      case 'revoke':
        return this.#revokeDevice(device);
      case 'revoke certificate':
        return this.#revokeCertificate(peerCertificate(enrollment.certificateChain[0]!).serial);
      case 'pair again':
        return device.pairAgain();
      case 'reinstall':
        return device.reinstall();
      case 'steal':
        return device.steal();
    }
  }

  async #revokeDevice(device: SimulatedDevice): Promise<void> {
    const { id } = device.identity;
    await device.steal();
    this.#invariants.deviceRevoked(id, 'maybe');
    await this.#untilDone(async () => {
      try {
        await this.#daemon.operate((identity) => identity.revokeDevice(id, 'lost'));
      } catch (error) {
        if (hasCode(error, 'DEVICE_NOT_FOUND')) return;
        throw error;
      }
      this.#invariants.deviceRevoked(id, 'yes');
      this.#invariants.noneOpen(this.#daemon.openConnections);
      this.#invariants.happened('device revoked', device.name);
    });
  }

  async #revokeCertificate(serial: string): Promise<void> {
    this.#invariants.certificateRevoked(serial, 'maybe');
    await this.#untilDone(async () => {
      try {
        await this.#daemon.operate((identity) => identity.revokeCertificate(serial, 'leaked'));
      } catch (error) {
        if (hasCode(error, 'CERTIFICATE_NOT_FOUND')) return;
        throw error;
      }
      this.#invariants.certificateRevoked(serial, 'yes');
      this.#invariants.noneOpen(this.#daemon.openConnections);
      this.#invariants.happened('certificate revoked', serial);
    });
  }

  async #mishap(): Promise<void> {
    if (this.#isFinishing) return;
    const draw = this.#random.next();
    if (draw < 0.55) this.#daemon.crashAt(this.#random.below(60), this.#random.chance(0.2));
    else if (draw < 0.8) await this.#restartWith(this.#daemon.certificateLifeMs);
    else {
      const offsetMs = this.#random.between(-4, 4) * minute;
      if (offsetMs < this.#daemon.clockOffsetMs) this.#invariants.clockSetBack();
      this.#daemon.clockOffsetMs = offsetMs;
      this.#invariants.happened('daemon clock set');
    }
  }

  async #restartWith(certificateLifeMs: number): Promise<void> {
    this.#daemon.certificateLifeMs = certificateLifeMs;
    if (!this.#daemon.isUp) return;
    await this.#daemon.stop();
    await this.#daemon.start();
  }

  async #lookAtLists(): Promise<void> {
    const lists = await this.#daemon.operate(({ revocationLists }) => revocationLists.current());
    this.#invariants.lists(lists, this.#daemon.nowMs);
  }

  async #backUp(): Promise<void> {
    const file = join(this.#folder, `${this.#agenda.nowMs}.age`);
    await backupHome(this.#daemon.home, file, passphrase, { scryptLogN: 1, clock: this.#daemon.clock });
    this.#backups.push({ file, atMs: this.#agenda.nowMs });
    if (this.#backups.length > backupsKept) await rm(this.#backups.shift()!.file);
    this.#invariants.happened('backup made');
  }

  async #restore(isDiskLost: boolean): Promise<void> {
    // A backup from before the new root signed would bring back a root that no device trusts any more (docs/operations.md).
    const { activatedMs, finishedMs } = this.#rotation;
    const usable = this.#backups.filter(
      ({ atMs }) => (!finishedMs || atMs > (activatedMs ?? 0)) && this.#agenda.nowMs - atMs > badDayMs,
    );
    if (usable.length === 0) return;
    const { file, atMs } = this.#random.pick(usable);
    const before = isDiskLost ? undefined : await this.#contents();
    await this.#daemon.stop();
    if (isDiskLost) await rm(join(this.#daemon.home, 'daemon'), { recursive: true });
    const { revoked } = await restoreHome(this.#daemon.home, {
      file,
      passphrase,
      clock: this.#daemon.clock,
      ...(isDiskLost && { revokedLater: this.#invariants.shutOutSince(atMs) as DeviceId[] }),
    });
    this.#invariants.restored(atMs, isDiskLost);
    for (const id of revoked) this.#invariants.deviceRevoked(id, 'yes');
    if (finishedMs !== undefined && atMs < finishedMs) delete this.#rotation.finishedMs;
    if (activatedMs !== undefined && atMs < activatedMs) delete this.#rotation.activatedMs;
    this.#daemon.forgetAuditHead();
    this.#invariants.happened('restored', `${Math.round((this.#agenda.nowMs - atMs) / day)} days`);
    await this.#daemon.start();
    // Before anything else happens. A daemon that crashes here is not checked.
    const after = before && (await this.#contents().catch(unlessUnreachable));
    if (before && after) this.#invariants.nothingForgotten(before, after);
    await this.#untilDone(() => this.#daemon.verifyAudit());
    await this.#untilDone(() => this.#lookAtLists());
  }

  async #contents(): Promise<RegistryContents> {
    return this.#daemon.operate(async ({ registry }) => ({
      devices: new Map((await registry.devices({ limit: 100_000 })).map((each) => [each.id, each])),
      certificates: new Map(
        (await registry.certificates({ limit: 1_000_000 })).map((each) => [each.serial, each]),
      ),
    }));
  }

  /** Checks once a day until the rotation is over. */
  async #rotate(): Promise<void> {
    await this.#stepRotation().catch(unlessUnreachable);
    if (this.#rotation.finishedMs === undefined || !this.#isFinishing)
      this.#agenda.after(day, () => this.#rotate());
  }

  async #stepRotation(): Promise<void> {
    if (this.#rotation.finishedMs !== undefined) return;
    const { phase, since, behind } = await this.#daemon.operate(({ rootRotation }) =>
      rootRotation.status(1000),
    );
    if (phase === 'none') {
      await this.#daemon.operate(({ rootRotation }) => rootRotation.prepare());
      this.#invariants.happened('root prepared');
    } else {
      const isForced = behind.length > 0;
      if (isForced && this.#daemon.nowMs - since!.getTime() < rotationPatienceMs) {
        await this.#mustNotGoOn(phase);
        return;
      }
      if (phase === 'prepared') {
        for (const { id } of behind) this.#invariants.leftBehind(id);
        await this.#daemon.operate(({ rootRotation }) => rootRotation.activate(isForced));
        this.#rotation.activatedMs = this.#agenda.nowMs;
      } else {
        await this.#daemon.operate(({ rootRotation }) => rootRotation.finish(isForced));
        this.#rotation.finishedMs = this.#agenda.nowMs;
      }
      this.#invariants.happened(
        phase === 'prepared' ? 'root activated' : 'root finished',
        String(behind.length),
      );
    }
    await this.#daemon.authorityChanged();
  }

  /** Some devices are behind, and must not be lost by mistake. */
  async #mustNotGoOn(phase: 'prepared' | 'activated'): Promise<void> {
    try {
      await this.#daemon.operate(({ rootRotation }) =>
        phase === 'prepared' ? rootRotation.activate(false) : rootRotation.finish(false),
      );
    } catch (error) {
      if (hasCode(error, 'ROTATION_NOT_READY')) return;
      throw error;
    }
    this.#invariants.fail('the root rotation went on without devices that are behind');
  }

  /** Repeated all year. A request that the daemon did not answer is made again the next time. */
  #every(waitMs: () => number, work: () => Promise<void>): void {
    this.#agenda.after(waitMs(), async () => {
      await work().catch(unlessUnreachable);
      this.#every(waitMs, work);
    });
  }

  #later(ms: number, work: () => Promise<void>): void {
    this.#agenda.after(ms, () => this.#untilDone(work));
  }

  async #untilDone(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      unlessUnreachable(error);
      this.#later(30 * minute, work);
    }
  }
}
