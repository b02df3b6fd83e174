// What the operator and the devices of a fleet know, beside the fleet itself: each change that was acknowledged must hold from
// then on, at every daemon, and nothing else may be refused.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import {
  awaitPairing,
  type PairedEnrollment,
  renewCertificate,
  requestPairing,
} from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, fromConnectError, type NodeConnection, NodeService } from '@palyra/rpc';
import { DeviceRole } from '@palyra/rpc/admin';
import type { Random } from '../random.ts';
import { makeDevice, type SampleDevice } from '../sample-device.ts';
import type { Member } from './members.ts';

/** A request without an answer for this time is given up, ms. Its outcome is unknown. */
const patienceMs = 15_000;
/** Nothing was changed. */
const away = ['STORE_UNREACHABLE'];
/** The change may have been made. */
const unknown = ['UNREACHABLE', 'STORE_OUTCOME_UNKNOWN'];

interface Known {
  readonly device: SampleDevice;
  enrollment: PairedEnrollment;
  standing: 'good' | 'refused' | 'unknown';
  role: 'device' | 'operator' | 'unknown';
  /** A request that was given up may still arrive. */
  mayBeLate: boolean;
  /** Goes up at the beginning and the end of each change. Odd while one is under way. */
  version: number;
}

type Outcome<T> = { readonly value: T } | Failure;

interface Failure {
  readonly code: string;
  /** Whether nobody waited for the answer any longer. */
  readonly isGivenUp?: boolean;
  readonly error?: unknown;
}

export class FleetModel {
  readonly #members: readonly Member[];
  readonly #random: Random;
  readonly #devices: Known[] = [];
  /** The last revocation list of each CA. */
  readonly #lists = new Map<string, { readonly number: bigint; readonly text: string }>();
  readonly counts = new Map<string, number>();

  constructor(members: readonly Member[], random: Random) {
    this.#members = members;
    this.#random = random;
  }

  /** One random thing that a device or an operator does. */
  async act(): Promise<void> {
    const known = this.#random.pick([undefined, ...this.#devices.slice(-12)]);
    const draw = this.#random.next();
    if (!known || this.#devices.length < 3) await this.#pair();
    else if (draw < 0.5 || known.standing !== 'good' || known.version % 2 === 1) await this.#call(known);
    else if (draw < 0.6) await this.#callAsOperator(known);
    else if (draw < 0.7) await this.#changing(known, () => this.#changeRole(known));
    else if (draw < 0.8) await this.#changing(known, () => this.#renew(known));
    else if (draw < 0.87) await this.#changing(known, () => this.#copy(known));
    else await this.#changing(known, () => this.#revoke(known));
  }

  /** When nothing goes wrong any more: everything is asked of every daemon. */
  async settle(): Promise<void> {
    for (const member of this.#members) await this.#isWell(member);
    for (const known of this.#devices.slice(-16))
      for (const member of this.#members) {
        const outcome = await this.#status(member, known.enrollment);
        const code = 'code' in outcome ? outcome.code : 'accepted';
        if (known.standing === 'good') assert.equal(code, 'accepted', 'a device in good standing');
        if (known.standing === 'refused') assert.match(code, /^DEVICE_(?:REVOKED|QUARANTINED)$/);
      }
    for (const member of this.#members) await this.#checkLists(member);
    const admin = await this.#random.pick(this.#members).daemon.admin();
    const verdict = await admin.verifyAudit({});
    assert.ok(verdict.ok, verdict.problem);
  }

  async #isWell(member: Member): Promise<void> {
    for (const startedAt = performance.now(); ; await sleep(50)) {
      const outcome = await attempt(async () => (await member.daemon.admin()).mintCode({}));
      if ('value' in outcome) {
        await (await member.daemon.admin()).rejectPairing({ id: outcome.value.pairingId });
        return;
      }
      assert.ok(performance.now() - startedAt < 60_000, `does not recover: ${outcome.code}`);
    }
  }

  async #checkLists(member: Member): Promise<void> {
    const lists = new Map<string, { readonly number: bigint; text: string }>();
    for await (const { issuerId, number, der, failure } of (await member.daemon.admin()).getRevocationLists(
      {},
    )) {
      assert.equal(failure, '');
      const list = lists.get(issuerId) ?? { number, text: '' };
      list.text += Buffer.from(der).toString('hex');
      lists.set(issuerId, list);
    }
    for (const [issuer, { number, text }] of lists) {
      const last = this.#lists.get(issuer);
      assert.ok(!last || number >= last.number, `revocation list ${number} after ${last?.number}`);
      if (number === last?.number) assert.equal(text, last.text, `two lists with the number ${number}`);
      this.#lists.set(issuer, { number, text });
    }
  }

  async #pair(): Promise<void> {
    const device = await makeDevice();
    const [asked, decides, collects] = [this.#any(), this.#any(), this.#any()];
    const outcome = await attempt(async () => {
      const { code } = await (await asked.daemon.admin()).mintCode({});
      const { pairingAddress } = asked.daemon;
      const peer = await asked.daemon.peer();
      const pending = await requestPairing(device, peer, parsePairingCode(code), pairingAddress);
      await (await decides.daemon.admin()).approvePairing({ id: pending.requestId });
      return awaitPairing(device, await collects.daemon.peer(pending), pending, {
        signal: AbortSignal.timeout(patienceMs),
      });
    });
    this.#count('paired', outcome);
    if ('value' in outcome)
      this.#devices.push({
        device,
        enrollment: outcome.value,
        standing: 'good',
        role: 'device',
        mayBeLate: false,
        version: 0,
      });
  }

  async #call(known: Known): Promise<void> {
    const { standing, version, enrollment } = known;
    const outcome = await this.#status(this.#any(), enrollment);
    this.#count(standing === 'good' ? 'called' : 'called in vain', outcome);
    this.#mayBeCopy(known, enrollment, outcome);
    if ('value' in outcome) assert.notEqual(standing, 'refused', 'accepted after the acknowledgement');
    else if (!isAway(outcome)) this.#mayBeRefused(known, version, standing !== 'good', outcome);
  }

  async #callAsOperator(known: Known): Promise<void> {
    const { role, version, standing, enrollment } = known;
    const outcome = await this.#over(this.#any(), enrollment, (connection) =>
      createClient(AdminService, connection.transport).getStatus({}),
    );
    this.#count(`called as ${role}`, outcome);
    this.#mayBeCopy(known, enrollment, outcome);
    if ('value' in outcome) {
      if (known.version === version) assert.notEqual(role, 'device', 'the role had ended');
      assert.notEqual(standing, 'refused');
    } else if (!isAway(outcome))
      this.#mayBeRefused(known, version, standing !== 'good' || role !== 'operator', outcome);
  }

  /** A request that arrives with a certificate that was replaced meanwhile looks like one of a copy. */
  #mayBeCopy(known: Known, used: PairedEnrollment, outcome: Outcome<unknown>): void {
    if ('value' in outcome) return;
    if (outcome.isGivenUp) known.mayBeLate = true;
    if (known.enrollment !== used && known.standing === 'good') known.standing = 'unknown';
  }

  /** A refusal needs a reason: one from before the call, or a change that was under way. */
  #mayBeRefused(known: Known, version: number, isExpected: boolean, { error }: Failure): void {
    if (isExpected || version % 2 === 1 || known.version !== version) return;
    throw new Error('refused without a reason', { cause: error });
  }

  async #changing(known: Known, change: () => Promise<unknown>): Promise<void> {
    known.version += 1;
    try {
      await change();
    } finally {
      known.version += 1;
    }
  }

  async #revoke(known: Known): Promise<void> {
    const { id } = known.device.identity;
    const { daemon } = this.#any();
    const outcome = await attempt(async () => (await daemon.admin()).revokeDevice({ id, reason: 'lost' }));
    this.#count('revoked', outcome);
    if ('value' in outcome) known.standing = 'refused';
    else if (!away.includes(outcome.code)) known.standing = 'unknown';
  }

  async #changeRole(known: Known): Promise<void> {
    const { id } = known.device.identity;
    const { daemon } = this.#any();
    const next = known.role === 'operator' ? 'device' : 'operator';
    const role = next === 'operator' ? DeviceRole.OPERATOR : DeviceRole.DEVICE;
    const outcome = await attempt(async () => (await daemon.admin()).setDeviceRole({ id, role }));
    this.#count(`role ${next}`, outcome);
    if ('value' in outcome) known.role = next;
    else if (!away.includes(outcome.code)) known.role = 'unknown';
  }

  /** @returns whether the new certificate is in use. */
  async #renew(known: Known): Promise<boolean> {
    const renewed = await this.#over(this.#any(), known.enrollment, (connection) => {
      const node = createClient(NodeService, connection.transport);
      return renewCertificate(known.device, known.enrollment, (proof) => node.renew(proof));
    });
    this.#count('renewed', renewed);
    if (!('value' in renewed)) return false;
    known.enrollment = renewed.value;
    if (known.mayBeLate && known.standing === 'good') known.standing = 'unknown';
    const used = await this.#status(this.#any(), renewed.value);
    if (!('value' in used) && !isAway(used))
      throw new Error('a new certificate is refused', { cause: used.error });
    return 'value' in used;
  }

  /** A copy of the device turns up with the certificate that was replaced. */
  async #copy(known: Known): Promise<void> {
    const before = known.enrollment;
    if (!(await this.#renew(known))) return;
    const outcome = await this.#status(this.#any(), before);
    this.#count('copied', outcome);
    assert.ok(!('value' in outcome), 'a superseded certificate was accepted');
    known.standing = isAway(outcome) ? 'unknown' : 'refused';
  }

  #status(member: Member, enrollment: PairedEnrollment): Promise<Outcome<unknown>> {
    return this.#over(member, enrollment, ({ transport }) => createClient(NodeService, transport).status({}));
  }

  #over<T>(
    member: Member,
    enrollment: PairedEnrollment,
    work: (connection: NodeConnection) => Promise<T>,
  ): Promise<Outcome<T>> {
    const isQuic = this.#random.chance(0.4);
    return attempt(async () => {
      const connection = await member.dial(enrollment, isQuic);
      try {
        return await work(connection);
      } finally {
        connection.close();
      }
    });
  }

  #any(): Member {
    return this.#random.pick(this.#members);
  }

  #count(what: string, outcome: Outcome<unknown>): void {
    const key = 'code' in outcome ? `${what}: ${outcome.code}` : what;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }
}

const isAway = ({ code }: Failure): boolean => away.includes(code) || unknown.includes(code);

async function attempt<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  const waiting = new AbortController();
  const tooLate = sleep(patienceMs, { code: 'UNREACHABLE', isGivenUp: true }, { signal: waiting.signal });
  tooLate.catch(() => {});
  try {
    return await Promise.race([work().then((value) => ({ value }), failed), tooLate]);
  } finally {
    waiting.abort();
  }
}

function failed(error: unknown): Failure {
  const { code } = fromConnectError(error) as { readonly code?: string };
  if (code === undefined) throw error;
  return { code, error };
}
