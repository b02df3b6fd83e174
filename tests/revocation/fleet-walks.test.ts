// The invariants of the simulated year, for the pure functions behind devices and certificates: random histories of a few
// devices, in which every holder of a certificate tries it after every step.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from '@palyra/identity';
import { type CertificateState, type Device, judgeStanding } from '@palyra/identity/registry';
import type { DeviceId, Ulid } from '@palyra/identity/values';
import fc from 'fast-check';
import {
  type CertificateEvent,
  type CertificateRecord,
  stepCertificate,
} from '../../packages/identity/src/fleet/certificate-state.ts';
import { endOfCertificates } from '../../packages/identity/src/fleet/consequences.ts';
import { type DeviceEvent, stepDevice } from '../../packages/identity/src/fleet/device-state.ts';
import {
  anyEvent,
  anyWalk,
  deviceId,
  startMs,
  walk,
} from '../../packages/identity/src/fleet/testing/device-walk.ts';
import { Agenda } from '../testing/year/agenda.ts';
import { Invariants } from '../testing/year/invariants.ts';

const hour = 3_600_000;
const issuerId = '01K8ZQ4YV3BBBBBBBBBBBBBBBB' as Ulid;

interface Held {
  readonly record: CertificateRecord;
  state: CertificateState;
}

/** One device of a daemon without tables: the state is the result of the two functions. */
class OneDevice {
  readonly agenda = new Agenda(startMs);
  readonly invariants = new Invariants(this.agenda);
  device: Device | undefined;
  readonly held: Held[] = [];
  readonly #replacedKeys = new Set<string>();

  happen(event: DeviceEvent): void {
    const before = this.device;
    // The operator may approve an old key again explicitly. The simulated year has no such operator.
    if (event.type === 'approve' && this.#replacedKeys.has(hex(event.approval.request.identityKey))) return;
    let after: Device;
    try {
      after = stepDevice(before, event, this.agenda.now());
    } catch (error) {
      assert.ok(error instanceof IdentityError);
      return;
    }
    this.device = after;
    if (!before) this.invariants.deviceInserted(deviceId);
    if (event.type === 'approve') this.invariants.approving(deviceId);
    const cause = { at: this.agenda.now() };
    if (endOfCertificates({ before, after, event, cause }) !== undefined)
      for (const each of this.held) this.move(each, 'end');
    // Judged by the events, and not by the library's state.
    if (before?.state !== 'revoked' && after.state === 'revoked')
      this.invariants.deviceRevoked(deviceId, 'yes');
    if (!before || hex(before.identityKey) === hex(after.identityKey)) return;
    this.#replacedKeys.add(hex(before.identityKey));
    for (const certainty of ['maybe', 'yes'] as const)
      this.invariants.keyReplaced(deviceId, hex(before.identityKey), certainty);
  }

  /** The holder of the device's identity key gets a certificate, if the device is admitted. */
  issue(): void {
    const { device } = this;
    if (device?.state !== 'approved' && device?.state !== 'active') return;
    const serial = this.held.length.toString(16).padStart(32, '0');
    const now = this.agenda.now();
    const record: CertificateRecord = {
      serial,
      fingerprint: serial.repeat(2),
      keySha256: new Uint8Array(32),
      subject: { kind: 'device', id: deviceId as DeviceId },
      state: 'issued',
      notBefore: now,
      notAfter: new Date(now.getTime() + hour),
      issuerId,
      der: new Uint8Array(),
      createdAt: now,
      recovered: false,
      renewAt: undefined,
    };
    this.held.push({ record, state: 'issued' });
    this.invariants.issued(record);
    this.invariants.obtained(deviceId, hex(device.identityKey));
  }

  revokeCertificate(at: number): void {
    const each = this.held[at % Math.max(1, this.held.length)];
    if (!each) return;
    this.move(each, 'revoke');
    this.invariants.certificateRevoked(each.record.serial, 'yes');
    this.happen({ type: 'lose_certificate' });
  }

  /** Every holder tries its certificates, including their first use. */
  everybodyConnects(): void {
    const nowMs = this.agenda.nowMs;
    for (const each of this.held) {
      const verdict = judgeStanding(this.standing(each), nowMs);
      if (!verdict.ok) continue;
      this.invariants.accepted(deviceId, each.record.serial, nowMs);
      if (!verdict.firstUse) continue;
      this.happen({ type: 'use' });
      this.move(each, 'use');
      this.invariants.activated(each.record.serial);
      for (const other of this.held) if (other !== each) this.move(other, 'supersede');
    }
  }

  private move(each: Held, event: CertificateEvent['type']): void {
    each.state = stepCertificate(each.state, event) ?? each.state;
  }

  private standing({ record, state }: Held) {
    const { device } = this;
    return {
      serial: record.serial,
      subjectKind: 'device' as const,
      subjectId: deviceId,
      certificateState: state,
      notBeforeMs: record.notBefore.getTime(),
      notAfterMs: record.notAfter.getTime(),
      deviceState: device?.state,
      deviceRole: device?.role,
      deviceName: device?.name,
      renewAtMs: undefined,
      issuerId,
      issuerState: 'active' as const,
    };
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const anyStep = fc.oneof(
  { weight: 4, arbitrary: anyEvent.map((event) => (one: OneDevice) => one.happen(event)) },
  { weight: 4, arbitrary: fc.constant((one: OneDevice) => one.issue()) },
  { weight: 1, arbitrary: fc.nat(20).map((at) => (one: OneDevice) => one.revokeCertificate(at)) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 1, max: hour }).map((ms) => (one: OneDevice) => {
      void one.agenda.runUntil(one.agenda.nowMs + ms);
    }),
  },
);

test('no certificate is accepted that the invariants of the year refuse, whatever happens to its device', () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      const one = new OneDevice();
      for (const step of steps) {
        step(one);
        one.everybodyConnects();
      }
      accepted += one.invariants.count('certificate activated');
    }),
    { numRuns: 1000 },
  );
  assert.ok(accepted > 100, 'too few certificates were accepted');
});

test('a restore forgets no refusal of a device, whatever happened since the backup', () => {
  let remembered = 0;
  fc.assert(
    fc.property(anyWalk, anyWalk, anyWalk, (common, kept, later) => {
      // The backup has an earlier state of the device, and the replaced registry continues from there.
      const inBackup = last(common);
      for (const [history, before] of [
        ['newer', last(later, inBackup)],
        // The replaced registry diverged before the backup.
        ['another', last(later)],
      ] as const) {
        const known = history === 'newer' ? inBackup : last(kept);
        if (!before) continue;
        const event: DeviceEvent = { type: 'restore', before, history };
        const after = stepDevice(known, event, new Date(startMs * 2));
        const contents = (device: Device) => ({
          devices: new Map([[String(device.id), device]]),
          certificates: new Map(),
        });
        const invariants = new Invariants(new Agenda(startMs));
        const isDoubtful =
          known && hex(known.identityKey) !== hex(before.identityKey) && history === 'another';
        // It is unknown which key is the later one, so the device stays out.
        if (isDoubtful) assert.ok(after.state === 'quarantined' || after.state === 'revoked');
        else invariants.nothingForgotten(contents(before), contents(after));
        remembered += invariants.count('mark carried over');
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(remembered > 20, 'too few refusals were tested');
});

function last(steps: Parameters<typeof walk>[0], first?: Device): Device | undefined {
  let device = first;
  for (const { after } of walk(steps, first)) device = after;
  return device;
}
